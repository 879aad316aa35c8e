make_cli_trace small t.mst
(trap '' PIPE; sleep 0.1; msanalyze all t.mst; echo "status $?" >status) | true
cat status
