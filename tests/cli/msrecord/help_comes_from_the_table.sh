msrecord --help
