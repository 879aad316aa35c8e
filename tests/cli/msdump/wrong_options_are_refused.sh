make_cli_trace small t.mst
msdump; echo $?
msdump --op=mallox t.mst; echo $?
msdump --info --verify t.mst; echo $?
msdump --formt=text t.mst; echo $?
msdump t.mst t.mst; echo $?
