# a realloc in two halves is one call, of the thread that made it
make_cli_trace family t.mst && msanalyze threads t.mst && msanalyze threads --format=json --pid=200 --top=1 t.mst
