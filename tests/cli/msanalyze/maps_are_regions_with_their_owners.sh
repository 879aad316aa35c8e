# cut, moved, overlaid, mapped by one thread while another unmaps, inherited by a fork
make_cli_trace mappings t.mst && msanalyze maps t.mst && msanalyze maps --format=json --sort=live -n 3 t.mst
