make_cli_trace cxx t.mst
msanalyze mismatches -n 1 t.mst >out; echo $?
msanalyze mismatches --fail -n 1 t.mst >out; echo $?
make_cli_trace small none.mst
msanalyze mismatches --fail none.mst; echo $?
