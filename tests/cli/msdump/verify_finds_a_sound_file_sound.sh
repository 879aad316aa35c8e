make_cli_trace small t.mst && msdump --verify t.mst | sed -E 's/[0-9,]+ bytes/N bytes/' && msdump --verify --format=json t.mst | grep -v bytes
