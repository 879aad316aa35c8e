make_cli_trace cxx t.mst
msanalyze mismatches --format=csv t.mst
msanalyze mismatches --format=json -n 1 --pid 701 t.mst
