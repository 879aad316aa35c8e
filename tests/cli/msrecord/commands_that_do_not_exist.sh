echo '#!/nonexistent/interpreter' > script
chmod +x script
msrecord no-such-command; echo $?
msrecord ./no-such-file; echo $?
msrecord ./script; echo $?
msrecord /; echo $?
chmod -x script
msrecord ./script; echo $?
msrecord ''; echo $?
ls
