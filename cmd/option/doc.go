// Package option reads the values that options of several commands have alike:
// secrets and their files, URLs, pins. Its errors name the option and the mend;
// each is a mistake of whoever called.
package option
