"""Many scans: one case at a time, resumable, on several processes or a Dask cluster, with a report."""
