make_cli_trace long 2000 t.mst && damage t.mst 1500
msdump t.mst >out 2>err
status=$?
wc -l <out
sed -E 's/byte [0-9]+, [0-9]+ bytes: [a-z ]+,/byte N, N bytes: PROBLEM,/' err
exit $status
