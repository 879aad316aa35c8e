make_cli_trace small t.mst
msanalyze leaks --fail-over=264 --top 1 t.mst >out; echo $?
msanalyze leaks --fail-over=263 --top 1 t.mst >out; echo $?
make_cli_trace long 10 none.mst
msanalyze leaks --fail-over=0 none.mst; echo $?
