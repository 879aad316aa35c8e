msrecord --max-size=1G --keep-last=1G true
