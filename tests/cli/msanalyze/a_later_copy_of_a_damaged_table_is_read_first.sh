# Byte 732 is in the only THREAD frame before the events: without the copy behind them, no event is of any process.
make_cli_trace long 100000 t.mst
damage t.mst 732
msanalyze summary --pid 500 --format=csv t.mst | cut -d, -f1-9
