"""Which tests show what: rows of docs/RELIABILITY.md, each a sentence and the tests that it stands on.

A row holds the file and a regular expression of test names. A row that finds no test is an error of the report, so the
document cannot claim what is no longer tested.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What is tried, what must come of it, and the tests (file stem, expression of names) that check it."""

    tried: str
    outcome: str
    file: str
    names: str


FAULTS = (
    Row("Power cut: the first results of a case, killed before each write", "whole or absent; JSON last",
        "test_faults_kill", "test_the_first_results"),
    Row("Power cut: replacing earlier results, killed before each write", "former, new or absent; never a mixture",
        "test_faults_kill", "test_replaced_results"),
    Row("Killed in the middle of a file", "no visible file, no result", "test_faults_kill", "test_a_process_killed"),
    Row("Power cut: files of the Slicer worker", "whole or absent", "test_faults_kill", "test_the_workers_files"),
    Row("Power cut: a batch with its tables, killed before each write", "the next run completes it; nothing is left",
        "test_faults_kill", "test_a_batch_killed"),
    Row("Power cut: installing a newer model, killed before each write", "former, new or absent",
        "test_faults_kill", "test_an_installed_model"),
    Row("Three processes on one folder, one of them killed", "each case once; the killed one's case again",
        "test_faults_kill", "test_processes_that_share"),
    Row("A batch process killed (SIGKILL) while it runs", "the next run keeps what is done", "test_batch",
        "test_a_killed_batch"),
    Row("A Dask worker killed, its scheduler lost, a scan that kills its process", "nothing lost or doubled; words",
        "test_batch_cluster", "test_a_(worker_killed|lost_scheduler|scan_that_kills)"),
    Row("The worker killed, orphaned, told to end, its input closed", "gone without leftovers", "test_worker",
        "test_(folders_of_killed|the_end_of_standard|sigterm|the_worker_ends)"),
    Row("The worker dies under the panel", "says what to do; the next run starts afresh", "test_module_worker",
        "test_a_crash"),
    Row("A run in Slicer that fails or is cancelled", "the scene is as it was", "test_module_(panel|logic)",
        "test_(a_failing_run|cancel_ends)"),
    Row("Really full disk (tmpfs)", "error in words, nothing left", "test_faults_system", "test_a_really_full_disk"),
    Row("A file that outgrows what is left (ITK says nothing for NIfTI)", "error in words, nothing left",
        "test_atomic_files", "test_a_file_that_does_not_fit"),
    Row("A full disk in a batch, later freed", "failed row; completed by the next run", "test_faults_system",
        "test_a_batch_on_a_full_disk"),
    Row("Each call refused: full, read-only, quota, input-output error", "error in words, nothing left",
        "test_faults_system", "test_whichever_call"),
    Row("Read-only folder (remounted)", "error in words", "test_faults_system", "test_a_read_only"),
    Row("Output is a file, below a file, a link to nowhere", "error in words, nothing touched", "test_faults_system",
        "test_an_output_that_is_no_folder"),
    Row("Interrupted (Ctrl+C) and out of memory in each stage", "nothing left, one line", "test_faults_system",
        "test_an_interruption"),
    Row("Told to end (SIGTERM, SIGHUP) while it writes", "nothing left", "test_faults_system",
        "test_a_request_to_end"),
    Row("Cancelled at each poll", "Cancelled, nothing else", "test_faults_system", "test_cancelling_at_every_poll"),
    Row("A running request cancelled in the worker", "answered within a second", "test_worker",
        "test_(a_run_is_cancelled|running_and_waiting)"),
    Row("Clock running backwards, files from the future and the past", "content decides", "test_faults_system",
        "test_a_clock"),
    Row("CUDA out of memory (simulated)", "smaller batches, then the CPU, with a note", "test_localize",
        "test_memory_running_out"),
    Row("Two writers of one case at once", "files of one of them", "test_atomic_files",
        "test_(two_writers|of_two_writers|a_folder_that)"),
)

SECURITY = (
    Row("Decompression bombs: NIfTI, NRRD, MetaImage, PNG, model zip", "stopped at the limit", "test_security_input",
        "test_(a_bomb|the_piece|compressed_nrrd|a_picture_that)"),
    Row("False lengths in DICOM files, in sequences and fragments too; deflated bombs", "refused before GDCM sees them",
        "test_dicom_elements", "test_(gdcm_never|a_deflated)"),
    Row("Hostile zips of models: paths, links, sizes, counts", "refused, nothing written", "test_bundle_install",
        "test_(hostile_zips|a_zip_|what_is_no_zip)"),
    Row("Weights: headers, shapes, offsets, types, NaN, checkpoints", "refused in words", "test_security_model",
        "test_hostile_weights"),
    Row("Weights that do not fit the network, NaN, pickles", "refused in words", "test_bundle_faults",
        "test_(weights_that|a_pickle|damaged_weights|weights_exchanged|no_weights)"),
    Row("Metadata of models: schema, contradictions, nesting, size", "refused in words", "test_bundle_faults",
        "test_(metadata_that|networks_that|what_json_allows)"),
    Row("Links, names that are paths, models exchanged while used", "refused or noticed", "test_security_model",
        "test_(a_model_|a_models_|a_name_)"),
    Row("Escape sequences and marks of direction in names and models", "nothing reaches the terminal",
        "test_security_(input|model)", "test_(names_from_files|texts_of_a_model|what_an_unexpected|any_name)"),
    Row("Formulas in tables", "text", "test_security_input", "test_no_cell"),
    Row("Markup in the HTML report", "text; no script, no network", "test_batch_report",
        "test_(names_from_files|the_page_needs)"),
    Row("Hostile results in the output folder", "count as none", "test_security_input",
        "test_a_(hostile_result|result_)"),
    Row("Nonsense on the worker's input", "answered and survived", "test_worker",
        "test_(nonsense|any_line|a_stream_of_garbage)"),
    Row("Sources that unpickle, evaluate text, start shells or open connections", "none", "test_security_model",
        "test_no_source"),
    Row("Localizing with pickle blocked, and with every socket call fatal", "works", "test_security_model",
        "test_localizing"),
    Row("Folders of intermediate files", "private (0700)", "test_(faults_system|worker)",
        "test_(folders_of_intermediate|shutdown_ends)"),
)

FUZZED = (
    Row("Flipped and missing bytes in valid files of all formats", "read, or refused in words", "test_corpus",
        "test_flipped"),
    Row("Pictures cut short", "refused in words, nothing printed", "test_pictures", "test_a_picture_cut_short"),
    Row("Random valid DICOM: orientation, order, scales, sign, bits, coding, one file or several",
        "values and places as pydicom reads them", "test_dicom_random", "test_a_random_series"),
    Row("Words of NRRD and MetaImage headers replaced by extreme ones", "read, or refused in words; ITK never crashes",
        "test_integrity", "test_words_of_a_header"),
    Row("Any bytes as a line to the worker", "a valid request or a protocol error", "test_worker", "test_any_line"),
    Row("Any text as a case's name", "printable, safe, unchanged by a second pass", "test_security_input",
        "test_any_name"),
    Row("Random grids: there and back, ITK's judgment", "exact", "test_geometry",
        "test_(points_go|itk_agrees|a_ras_matrix|each_plane)"),
)

INPUT_FAMILIES = {
    "nifti": "NIfTI", "nrrd": "NRRD", "meta": "MetaImage", "dicom": "DICOM", "picture": "Pictures", "path": "Paths",
}
CORPUS_TEST = ("test_corpus", "test_input_is_read_or_refused_in_words")


def is_named(file: str, name: str) -> bool:
    """Whether a row stands on a test, by the stem of its file and its name."""
    named = [(row.file, row.names) for row in (*FAULTS, *SECURITY, *FUZZED)]
    return any(re.fullmatch(files, file) and re.match(names, name) for files, names in (*named, CORPUS_TEST))
