make_cli_trace paused t.mst
msanalyze summary t.mst | grep -E "paus|running|live at the end"
msanalyze summary --format=json t.mst | jq -c '.. | objects | select(has("pauses")) | [.pauses, .paused_ns, .unfinished]'
echo "-- of one process"
msanalyze summary --pid=600 --format=json t.mst | jq -c '.. | objects | select(has("pauses")) | [.pauses, .paused_ns, .unfinished]'
