// Command weir is a push server for live feeds, and the small tools around it.
//
// Every option is declared once, as a field of options.go: its flag, its
// default, its help and its group. The environment variable (WEIR_ and the
// name in upper case) and the key of the YAML file follow from the name, so a
// setting can stand in three places and means the same in each. A flag wins
// over the environment, the environment over the file, the file over the
// default.
//
// A command is a function of its arguments: run takes the arguments, the
// environment and the two streams, and returns the exit status, so tests run
// commands in their own process. 0 is success, 1 a failure while running, 2 a
// mistake of the operator; such a message names the option and the mend.
package main
