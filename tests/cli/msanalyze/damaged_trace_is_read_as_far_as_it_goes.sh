make_cli_trace long 2000 t.mst && damage t.mst 1500
msanalyze summary --format=json t.mst 2>err | grep -E '"(events|missing_events|complete)"'
echo ${PIPESTATUS[0]}
sed -E 's/byte [0-9]+, [0-9]+ bytes: [a-z ]+,/byte N, N bytes: PROBLEM,/' err
