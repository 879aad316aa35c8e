make_cli_trace hostile t.mst && msanalyze leaks --top 2 --format=json t.mst | head -7
msanalyze leaks --top 2 --format=json t.mst | grep -c '"stack"'
msanalyze leaks --top 0 --format=json t.mst | grep -c '"stack"'
