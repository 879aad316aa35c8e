make_cli_trace lost t.mst && msanalyze summary --format=json t.mst | grep -E '"(events|lost_events|complete)"'
exit ${PIPESTATUS[0]}
