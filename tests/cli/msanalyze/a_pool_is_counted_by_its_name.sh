make_cli_trace pools t.mst
msanalyze leaks --pool=arena_alloc t.mst
msanalyze peak --pool=arena_alloc --format=json t.mst | jq -c "[.bytes, .blocks, .event]"
msanalyze top --pool=arena_alloc --sort=calls --pid=800 t.mst
msanalyze leaks t.mst
