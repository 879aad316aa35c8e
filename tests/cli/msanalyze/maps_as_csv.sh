make_cli_trace mappings t.mst && msanalyze maps --format=csv --top=0 --sort=lifetime --pid=100 t.mst
