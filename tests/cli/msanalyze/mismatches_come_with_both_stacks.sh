make_cli_trace cxx t.mst
msanalyze mismatches t.mst
