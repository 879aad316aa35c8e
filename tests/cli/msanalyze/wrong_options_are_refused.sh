make_cli_trace small t.mst
msanalyze; echo $?
msanalyze leeks t.mst; echo $?
msanalyze leaks --sort=calls t.mst; echo $?
msanalyze peak --fail-over=3 t.mst; echo $?
msanalyze leaks --fail-over=lots t.mst; echo $?
