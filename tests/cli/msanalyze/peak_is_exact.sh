make_cli_trace forks t.mst && msanalyze peak t.mst && msanalyze peak --format=json --sort blocks t.mst | head -9
