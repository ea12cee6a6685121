package overload

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"testing/fstest"
	"time"
)

var start = time.Unix(1_000_000, 0)

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		usage Usage
		want  Level
	}{
		{Usage{}, Normal},
		{Usage{Memory: 0.74}, Normal},
		{Usage{Memory: 0.75}, Tighten},
		{Usage{Memory: 0.82}, Plain},
		{Usage{Memory: 0.88}, Shed},
		{Usage{Memory: 0.93}, Refuse},
		{Usage{Memory: 0.97}, Evict},
		{Usage{Memory: 5}, Evict},
		{Usage{Heap: 0.88}, Shed},
		{Usage{Descriptors: 0.84}, Normal},
		{Usage{Descriptors: 0.9}, Tighten},
		{Usage{Descriptors: 0.99}, Refuse},
		{Usage{Memory: 0.76, Descriptors: 0.99}, Refuse},
		{Usage{CPU: 1}, Normal}, // for a moment
		{Usage{Memory: math.NaN(), CPU: math.NaN()}, Normal},
	} {
		var g Gauge
		if got := g.Observe(c.usage, start); got != c.want || g.Level() != c.want {
			t.Errorf("%+v: %v, want %v", c.usage, got, c.want)
		}
	}
}

// TestNeighbours: what others use lets nobody in, closes nobody, and hides nothing of
// what this process uses.
func TestNeighbours(t *testing.T) {
	for _, c := range []struct {
		usage          Usage
		level, closing Level
	}{
		{Usage{Around: 0.74}, Normal, Normal},
		{Usage{Around: 0.76}, Tighten, Normal},
		{Usage{Around: 0.92}, Plain, Normal},
		{Usage{Around: 0.93}, Refuse, Normal},
		{Usage{Around: 5}, Refuse, Normal},
		{Usage{Around: 0.99, Memory: 0.83}, Refuse, Plain},
		{Usage{Around: 0.99, Memory: 0.89}, Refuse, Shed},
		{Usage{Around: 0.99, Memory: 0.98}, Evict, Evict},
	} {
		var g Gauge
		if level := g.Observe(c.usage, start); level != c.level || g.Closing() != c.closing {
			t.Errorf("%+v: %v, closing as at %v; want %v and %v", c.usage, level, g.Closing(), c.level, c.closing)
		}
	}
	var g Gauge
	g.Observe(Usage{Around: 0.95, Memory: 0.98}, start)
	for i := range 3 {
		g.Observe(Usage{Around: 0.95}, start.Add(time.Duration(i)*calmFor))
	}
	if g.Level() != Refuse || g.Closing() != Normal {
		t.Errorf("the process is calm and its neighbour is not: %v, closing as at %v", g.Level(), g.Closing())
	}
}

// TestHysteresis: up at once, down step by step, and not while it hovers.
func TestHysteresis(t *testing.T) {
	var g Gauge
	for i, c := range []struct {
		memory float64
		at     time.Duration
		want   Level
	}{
		{0.98, 0, Evict},
		{0.94, time.Second, Evict},       // not below 0.93
		{0.92, 2 * time.Second, Evict},   // calm begins
		{0.92, 6 * time.Second, Evict},   // not for long enough
		{0.92, 7 * time.Second, Refuse},  // left, and no further: 0.92 holds Refuse
		{0.92, 60 * time.Second, Refuse}, //
		{0.80, 61 * time.Second, Refuse}, //
		{0.89, 65 * time.Second, Refuse}, // calm is over
		{0.80, 66 * time.Second, Refuse}, // and begins anew
		{0.80, 71 * time.Second, Plain},  // 0.80 does not hold Shed
		{0.99, 72 * time.Second, Evict},  // at once
		{0.10, 73 * time.Second, Evict},
		{0.10, 77 * time.Second, Evict}, // what was calm before the rise does not count
		{0.10, 78 * time.Second, Normal},
	} {
		if got := g.Observe(Usage{Memory: c.memory}, start.Add(c.at)); got != c.want {
			t.Fatalf("step %d: %v, want %v", i, got, c.want)
		}
	}
}

// TestBusy: the CPU counts when it has been busy for a while, and then never
// closes anybody.
func TestBusy(t *testing.T) {
	var g Gauge
	for s := range 20 {
		want := Normal
		if s >= 5 {
			want = Plain
		}
		if got := g.Observe(Usage{CPU: 1}, start.Add(time.Duration(s)*time.Second)); got != want {
			t.Fatalf("after %d s: %v, want %v", s, got, want)
		}
	}
	g = Gauge{}
	for s := range 60 {
		load := 1.0
		if s%4 == 3 {
			load = 0.5 // never five seconds in a row
		}
		if got := g.Observe(Usage{CPU: load}, start.Add(time.Duration(s)*time.Second)); got != Normal {
			t.Fatalf("after %d s: %v, though it was never busy for long", s, got)
		}
	}
}

// TestAnyUsageSettles: from wherever random usage took it, a gauge is at Normal
// soon after all is calm, and never above what the usage at hand calls for
// by more than its hysteresis holds.
func TestAnyUsageSettles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var g Gauge
		now := start
		for range 100 {
			now = now.Add(time.Duration(rng.IntN(3000)) * time.Millisecond)
			u := Usage{Memory: rng.Float64() * 1.1, Heap: rng.Float64(), Descriptors: rng.Float64(), CPU: rng.Float64() * 1.1}
			before := g.Level()
			after := g.Observe(u, now)
			if fresh := (&Gauge{}).Observe(u, now); after < fresh {
				t.Fatalf("%+v calls for %v, the gauge is at %v", u, fresh, after)
			}
			if after < before && named(before, u) {
				t.Fatalf("%+v holds %v, the gauge fell to %v", u, before, after)
			}
		}
		for i := 0; g.Level() != Normal; i++ {
			if i > 10 {
				t.Fatal("it does not come back to normal")
			}
			now = now.Add(calmFor)
			g.Observe(Usage{}, now)
		}
	}
}

func TestNames(t *testing.T) {
	for l, want := range []string{"normal", "tighten", "plain", "shed", "refuse", "evict"} {
		if got := Level(l).String(); got != want {
			t.Errorf("level %d is %q, want %q", l, got, want)
		}
	}
}

func stat(user, system int) *fstest.MapFile {
	return &fstest.MapFile{Data: fmt.Appendf(nil, "123 (we) ir) S 1 2 3 4 5 6 7 8 9 10 %d %d 0 0 20 0 7 0\n", user, system)}
}

func TestMeter(t *testing.T) {
	runtime.GC() // so that something is known to be live
	files := fstest.MapFS{
		"proc/self/status": {Data: []byte("Name:\tweir\nVmHWM:\t  999 kB\nVmRSS:\t  512 kB\nThreads:\t7\n")},
		"proc/self/stat":   stat(100, 50),
	}
	m := NewMeter(files, Capacity{Memory: 1 << 20, Heap: 1 << 40, Descriptors: 1000, Cores: 2})
	u := m.Read(250, start)
	if u.Memory != 0.45 || u.Descriptors != 0.25 || u.CPU != 0 || u.Heap <= 0 || u.Heap > 0.001 {
		t.Errorf("%+v: of what is resident all looks like garbage, as the heap of this process is larger", u)
	}
	files["proc/self/fd"] = &fstest.MapFile{Data: make([]byte, 300)} // its size is how many there are
	if u = m.Read(250, start); u.Descriptors != 0.3 {
		t.Errorf("descriptors %v, want 300 of 1000", u.Descriptors)
	}
	if u = m.Read(350, start); u.Descriptors != 0.35 {
		t.Errorf("descriptors %v, where 350 are known to be open", u.Descriptors)
	}
	files["proc/self/status"] = &fstest.MapFile{Data: []byte("VmRSS: 1073741824 kB\n")}
	if u = m.Read(0, start); u.Memory < 0.99*(1<<20) {
		t.Errorf("memory %v: what is no garbage counts whole", u.Memory)
	}
	m = NewMeter(files, Capacity{Memory: 1 << 20, Descriptors: 1000, Cores: 2})
	m.Read(0, start)
	files["proc/self/stat"] = stat(250, 200) // 3 s of CPU
	if u = m.Read(250, start.Add(2*time.Second)); u.CPU != 0.75 {
		t.Errorf("CPU %v, want 3 s of 2 s on 2 cores", u.CPU)
	}
	if u = m.Read(250, start.Add(time.Second)); u.CPU != 0 {
		t.Errorf("a clock that went back: %v", u.CPU)
	}
}

// TestMeterWithoutFigures: what the machine does not tell is 0, never a panic.
func TestMeterWithoutFigures(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"no files": {},
		"empty":    {"proc/self/status": {}, "proc/self/stat": {}},
		"garbage":  {"proc/self/status": {Data: []byte("VmRSS:")}, "proc/self/stat": {Data: []byte("1 (x) S a b c d e f g h i j k l m n o p")}},
		"short":    {"proc/self/status": {Data: []byte("VmRSS: many kB\n")}, "proc/self/stat": {Data: []byte("1 (x) S 1 2")}},
	} {
		m := NewMeter(files, Capacity{Memory: 1 << 30, Descriptors: 10, Cores: 1})
		m.Read(0, start)
		if u := m.Read(0, start.Add(time.Second)); u.Memory != 0 || u.CPU != 0 || u.Descriptors != 0 {
			t.Errorf("%s: %+v", name, u)
		}
	}
	if u := NewMeter(fstest.MapFS{}, Capacity{}).Read(10, start); u != (Usage{}) {
		t.Errorf("no capacity is known: %+v", u)
	}
}

// TestMeterOfThisMachine reads real files, where there are any.
func TestMeterOfThisMachine(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc on this system")
	}
	runtime.GC()
	root := os.DirFS("/")
	m := NewMeter(root, Capacity{Memory: 1 << 40, Heap: 1 << 40, Machine: FindMemory(root), Descriptors: 1 << 20, Cores: 1})
	if u := m.Read(1, time.Now()); u.Memory <= 0 || u.Heap <= 0 || u.Descriptors <= 0 || u.Descriptors > 0.1 {
		t.Errorf("%+v", u)
	}
	if used, ok := m.cpuTime(); !ok || used < 0 {
		t.Errorf("CPU time %v, %v", used, ok)
	}
}

func BenchmarkObserve(b *testing.B) {
	var g Gauge
	now := start
	for b.Loop() {
		now = now.Add(time.Second)
		g.Observe(Usage{Memory: 0.8, CPU: 0.5}, now)
	}
}
