make_cli_trace open t.mst && msanalyze summary --format=json t.mst | grep -E '"(events|allocations|complete|exit)"'
exit ${PIPESTATUS[0]}
