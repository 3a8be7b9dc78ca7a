# awk -v folder=DIR -f tests/tutorial.awk README.md: writes each ```c block into the file that its first line names,
# and each ```text block, which begins with the command that shows the rest, into the next of DIR/1.text, 2.text, ...
/^```/ { writing = 0 }
writing && !path { path = folder "/" $2; print path }
writing { print > path }
/^```c$/ { writing = 1; path = "" }
/^```text$/ { writing = 1; path = folder "/" ++texts ".text" }
