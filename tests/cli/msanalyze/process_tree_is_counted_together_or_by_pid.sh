make_cli_trace forks t.mst
for pid in 0 200 201; do
	echo "-- $pid"
	msanalyze summary --pid $pid --format=json t.mst | grep -E '"(events|allocations|frees|live_bytes|peak_bytes|peak_event|inherited_frees|threads|processes|exit)"'
done
