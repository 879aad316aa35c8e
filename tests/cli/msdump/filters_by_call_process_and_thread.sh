make_cli_trace small t.mst && make_cli_trace forks f.mst || exit
echo "-- op"; msdump --format=text --op=free --op=calloc t.mst
echo "-- tid"; msdump --format=text --tid 101 t.mst
echo "-- pid"; msdump --format=text --pid 201 f.mst
echo "-- none"; msdump --format=text --pid 201 --op calloc f.mst
