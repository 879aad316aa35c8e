make_cli_trace long 2000 t.mst && damage t.mst 1500
msdump --verify t.mst >out
status=$?
sed -E 's/(byte|length) [0-9]+/\1 N/g; s/[0-9,]+ bytes/N bytes/; s/: [a-z ]+; events/: PROBLEM; events/' out
exit $status
