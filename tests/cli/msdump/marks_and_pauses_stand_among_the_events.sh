make_cli_trace paused t.mst
msdump t.mst
echo "-- text"
msdump --format=text t.mst
echo "-- csv: events only"
msdump --format=csv t.mst
echo "-- of one process"
msdump --pid=601 t.mst
echo "-- in a span"
msdump --from=0.4s --to=0.6s t.mst | jq -c 'select(.annotation) | [.annotation, .name]'
echo "-- events alone"
msdump t.mst | jq -c 'select(.op == "malloc") | .size'
msdump --op=free t.mst
msdump --verify t.mst
