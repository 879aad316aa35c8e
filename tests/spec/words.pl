# A program of some 200,000 heap calls: a hash of lists of words, a child that drops its copy of it, a command.
my %lists;
push @{$lists{$_ % 997}}, "v$_" x ($_ % 5 + 1) for 1 .. 9000;
my $length = 0;
$length += length join ',', map { s/v(\d)/w$1/gr } @{$lists{$_}} for sort keys %lists;
print "$length\n";
my $pid = fork() // die;
if (!$pid) {
	%lists = ();
	exit 3;
}
waitpid $pid, 0;
undef %lists;
system "true";
