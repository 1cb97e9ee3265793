"""Many scans: one case at a time, resumable, on several processes or a Dask cluster, with a report.

`run_batch` does it, for the command `hrcam batch` and for Slicer's `HRCAMBatch.py`; its `Row`s become the tables.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "records": "Batch Job Row summarize",
    "run": "run_batch",
    "report": "write_html write_tables",
})
