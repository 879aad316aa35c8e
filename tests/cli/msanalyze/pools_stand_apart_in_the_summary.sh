make_cli_trace pools t.mst
msanalyze summary t.mst | sed -n "/^events/,/^peak/p; /^function/,\$p"
msanalyze summary --format=json --pid 801 t.mst | jq -c "[.allocations, .live_bytes, .pools]"
msanalyze summary --format=csv t.mst | wc -l
