# each image has a row; who was not recorded has one by name
make_cli_trace family t.mst && msanalyze processes t.mst && msanalyze processes --format=csv --pid=200 t.mst
