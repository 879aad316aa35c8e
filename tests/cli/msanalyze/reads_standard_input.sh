make_cli_trace small t.mst && msanalyze top --format=json t.mst >file && cat t.mst | msanalyze top --format=json - | cmp - file
