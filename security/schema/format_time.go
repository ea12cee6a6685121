package schema

// The lengths of the text forms of a date, a time and an offset.
const (
	dateBytes   = len("2006-01-02")
	timeBytes   = len("15:04:05")
	offsetBytes = len("+00:00")
)

// isDateTime is date-time of RFC 3339 §5.6.
func isDateTime(text []byte) bool { return len(text) > 0 && dateTimeEnd(text, 0) == len(text) }

// isDate is full-date of RFC 3339 §5.6.
func isDate(text []byte) bool { return len(text) == dateBytes && dateEnd(text, 0) > 0 }

// A shape is eight bytes, digits as 0. Its slack brings each byte that is too
// large for its place to its top bit, as timeSpare does with hours, minutes and
// seconds.
const (
	dateShape, dateSlack = 0x2d30302d30303030, 0x7f76767f76767676 // 0000-00-
	timeShape, timeSlack = 0x30303a30303a3030, 0x76767f76767f7676 // 00:00:00
	timeParts, timeSpare = 0x00ff0000ff0000ff, 0x0043000044000068 // at most 23, 59 and 60
)

// shaped gives the digits at b[i], the first in the lowest byte, and top bits
// where what is there has another shape.
func shaped(b []byte, i int, shape, slack uint64) (digits, bad uint64) {
	digits = load(b, i) ^ shape
	return digits, (digits&^tops + slack | digits) & tops
}

// pairs makes of each digit the number that it makes with the next.
func pairs(digits uint64) uint64 { return digits*10 + digits>>8 }

// dateEnd is where the date at b[i] ends, where there are dateBytes; 0 if there is
// none. It gives the end, not a bool: what a caller keeps over a call passes
// through memory, and all that is behind would wait for it.
func dateEnd(b []byte, i int) int {
	date, bad := shaped(b, i, dateShape, dateSlack)
	tens, ones := uint64(b[i+8])-'0', uint64(b[i+9])-'0'
	date = pairs(date)
	month, day := date>>40&0xff, tens*10+ones
	if bad != 0 || tens > 3 || ones > 9 || month-1 >= 12 || day == 0 {
		return 0
	}
	if day > 28 && day > daysOf(month, date&0xff, date>>16&0xff) {
		return 0
	}
	return i + dateBytes
}

// timeAt gives hour, minute and second at b[i], at bytes 0, 3 and 6. 60 seconds
// may be a leap second.
func timeAt(b []byte, i int) (clock uint64, ok bool) {
	clock, bad := shaped(b, i, timeShape, timeSlack)
	clock = pairs(clock) & timeParts
	return clock, bad|(clock+timeSpare)&tops == 0
}

// daysOf is how many days a month has.
func daysOf(month, century, year uint64) uint64 {
	switch month {
	case 2:
		if year%4 == 0 && (year != 0 || century%4 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// dateTimeEnd is where the date-time at b[i] ends, 0 if there is none.
func dateTimeEnd(b []byte, i int) int {
	if i+dateBytes+1+timeBytes >= len(b) || b[i+dateBytes]|0x20 != 't' {
		return 0
	}
	if i = dateEnd(b, i); i == 0 {
		return 0
	}
	i++
	clock, ok := timeAt(b, i)
	if !ok {
		return 0
	}
	i += timeBytes
	if b[i] == '.' {
		start := i + 1
		if i = digits(b, start); i == start || i == len(b) {
			return 0
		}
	}
	second := clock >> 48
	if b[i]|0x20 == 'z' && second < 60 {
		return i + 1
	}
	return offsetEnd(b, i, clock&0xff*60+clock>>24&0xff, second == 60)
}

// offsetEnd is where the offset at b[i] ends, 0 if there is none, or if a leap
// second with this many minutes behind midnight is not the last of a day in UTC.
func offsetEnd(b []byte, i int, minutes uint64, leap bool) int {
	const day = 24 * 60
	if b[i]|0x20 == 'z' {
		if leap && minutes != day-1 {
			return 0
		}
		return i + 1
	}
	end := i + offsetBytes
	if end > len(b) || b[i] != '+' && b[i] != '-' || b[i+3] != ':' {
		return 0
	}
	var digits [4]uint64
	for n, at := range [...]int{1, 2, 4, 5} {
		if digits[n] = uint64(b[i+at] - '0'); digits[n] > 9 {
			return 0
		}
	}
	hour, minute := digits[0]*10+digits[1], digits[2]*10+digits[3]
	if hour > 23 || minute > 59 {
		return 0
	}
	if minutes += hour*60 + minute; b[i] == '+' {
		minutes += 2 * (day - hour*60 - minute)
	}
	if leap && minutes%day != day-1 {
		return 0
	}
	return end
}
