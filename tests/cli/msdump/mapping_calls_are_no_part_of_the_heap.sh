# a malloc and its free among a dozen mapping calls
make_cli_trace mappings t.mst && msanalyze summary --format=json t.mst | grep -E '^  "(events|allocations|frees|failed|peak_bytes|temporary|foreign_frees)"'
msdump --verify t.mst
