# the file's name is hostile
make_cli_trace mappings t.mst && msdump --format=text t.mst && msdump t.mst && msdump --format=csv --op=mmap --op=munmap --op=mremap t.mst
