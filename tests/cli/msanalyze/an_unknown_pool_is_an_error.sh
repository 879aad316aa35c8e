make_cli_trace pools t.mst
msanalyze leaks --pool=arena t.mst
