"""Writes python.json: what CPython answers for the expressions below.

Run with CPython 3.11 in this folder after changing the list:
python3 python.py > python.json
"""
import json

payload = {"aid": "1-2-3", "n": 5, "l": ["a", "b"], "d": {"k": "v"}, "b": True, "none": None, "f": 1.5,
           "q": "it's", "uni": "Zoë 中文", "big": 123456789012345678901234567890,
           "nested": [[1, 2.0], {"x": [None, False]}]}

EXPRESSIONS = r"""
1
-1
1.5
1e16
1e15
123456789012345680.0
1e-5
0.0001
0.1 + 0.2
5.0
-0.0
1e300 * 1e300
-1e300 * 1e300
float("nan")
float("inf")
float("-Infinity")
float(" 1.5 ")
float("1_0")
float("0x10")
float(True)
float([])
100 / 3
6 / 3
7 // 2
-7 // 2
7 // -2
7 % 3
-7 % 3
7 % -3
-7 % -3
7.5 // 2
-7.5 // 2
7.5 % 2
-7.5 % 2
7.5 % -2
-0.3 % 0.1
5 // 0.3
1 / 0
1 // 0
1 % 0
1.0 / 0
1.0 // 0
1.0 % 0
True + 1
True * 3
-True
+True
True / 2
not 1
not ""
1 == 1.0
True == 1
1 == "1"
None == None
[1, 2] == [1, 2.0]
(1, 2) == [1, 2]
{"a": 1, "b": 2} == {"b": 2, "a": 1}
{"a": [1]} == {"a": [2]}
"a" < "b"
"Z" < "a"
"ä" > "z"
[1, 2] < [1, 3]
[1] < [1, 0]
(1, "a") < (1, "b")
1 < 1.5
2 > 1.5
float("nan") == float("nan")
float("nan") < 1
9007199254740993 == 9007199254740992.0
9007199254740993 > 9007199254740992.0
[] < 1
None < 1
{} < {}
1 in [1, 2]
"1" not in [1, 2]
"a" in "cat"
"" in "cat"
1 in "cat"
"k" in payload["d"]
[] in payload["d"]
3 in range(10)
3 in range(0, 10, 2)
1 in 5
1 and 2
0 and 1 / 0
0 or "x"
"" or [] or None
1 if [] else 2
"abc"[0]
"abc"[-1]
"abc"[3]
"abc"[True]
"abc"["a"]
"abc"[1:]
"abc"[:-1]
"abcdef"[::2]
"abcdef"[::-1]
"abcdef"[4:1:-1]
"abcdef"[10:]
"abcdef"[-100:100]
"abcdef"[::0]
"abcdef"[99999999999999999999:]
"abcdef"[None:2]
"abcdef"["a":]
[1, 2, 3, 4][1:3]
[1, 2, 3, 4][::-2]
(1, 2, 3)[1:]
(1, 2, 3)[:1]
(1,)
()
(1, 2)
[]
{}
{1: 2, "a": [None]}
{"a": 1, "a": 2}
{(1, 2): 3}
{[1]: 2}
[1, "a", None, True, 2.5]
"it's"
["it's"]
['say "hi"']
['it\'s "x"']
["a\nb\tc\rd\\e"]
["\x00\x1f\x7f"]
["é中😀"]
["\u200b\u00a0\u00ad\u2028"]
["\U000e0001"]
payload["uni"]
payload["nested"]
payload["big"]
payload["big"] * payload["big"]
payload["big"] // 7
payload["big"] % 1000
-payload["big"]
payload["big"] / 3
payload["n"] + 1
payload.get("zz")
payload.get("zz", 1)
payload.get("n", 1)
payload.get([])
payload["zz"]
payload["d"].keys()
payload["d"].values()
payload["d"].items()
payload["d"].keys()[0]
list(payload["d"])
list(payload["d"].items())
len(payload["d"].items())
"k" in payload["d"].keys()
sorted(payload["l"], reverse=True)
"a" + "b"
"a" + 1
1 + "a"
[1] + [2]
[1] + (2,)
(1,) + (2,)
[1] + 1
"ab" * 3
3 * "ab"
"ab" * -1
"ab" * True
"ab" * 1.5
[1] * 3
(1, 2) * 2
"a" - "b"
-"a"
[1, 2].index(2)
[1, 2].index(3)
[1, 1].count(1)
[1, 1].count(True)
str(5)
str()
str(None)
str([1, "a"])
str("a")
repr("a")
int("5")
int(" -5 ")
int("+5")
int("5.0")
int("")
int("1_000")
int("_1")
int("1__0")
int("--5")
int(5.9)
int(-5.9)
int(True)
int()
int(None)
int("ff", 16)
int("0xff", 16)
int("0xff", 0)
int("010", 0)
int("12", 3)
int("z", 36)
int("5", 1)
int(5, 10)
int(1e20)
int(float("nan"))
bool("")
bool([0])
bool()
len("abc")
len({})
len(range(10))
len(range(10, 0, -3))
min(3, 1, 2)
max([3, 1, 2])
max("abc")
min([])
min([], default=5)
max(1)
max(1, "a")
sum([1, 2.5])
sum([[1], [2]], [])
sum([])
sum(["a"])
sum(["a"], "")
sorted([3, 1, 2])
sorted("cab")
sorted([1, "a"])
sorted({"b": 1, "a": 2})
sorted([(2, "a"), (1, "b")])
list("ab")
list(range(3))
list(range(3, 0, -1))
list(range(0, 10, 3))
list(5)
range(3)
range(1, 10, 2)
range(1, 2, 0)
range(5)[1]
range(5)[-1]
range(5)[5]
range("a")
tuple([1, 2])
dict()
dict([("a", 1)])
dict({"a": 1}, b=2)
dict(a=1)
dict([1])
dict([(1, 2, 3)])
abs(-5)
abs(-1.5)
abs("a")
round(2.5)
round(3.5)
round(-2.5)
round(2.675, 2)
round(1.005, 2)
round(5, 2)
round(1234.5678, 1)
any([0, 1])
any([])
all([0, 1])
all([])
list(enumerate(["a", "b"]))
list(enumerate(["a"], 5))
list(zip([1, 2], ["a", "b", "c"]))
list(zip())
list(reversed([1, 2]))
[x * 2 for x in range(3)]
[x for x in range(10) if x % 2 == 0]
[(x, y) for x in [1, 2] for y in "ab" if x > 1]
[a + b for a, b in [(1, 2), (3, 4)]]
[a for a, b in [(1, 2, 3)]]
[a for a, b in [(1,)]]
[k + v for k, v in payload["d"].items()]
{k: len(v) for k, v in payload["d"].items()}
[[y for y in range(x)] for x in range(3)]
"AbC".upper()
"AbC".lower()
"AbC".swapcase()
"straße".upper()
"hello wORLD it's".title()
"hELLO wORLD".capitalize()
"  a b ".strip()
"  a b ".lstrip()
"  a b ".rstrip()
"xxaxx".strip("x")
"xyaxy".lstrip("yx")
"abc".strip("")
"\u00a0a\u00a0".strip()
"a b  c".split()
" a b ".split()
"".split()
"".split(",")
"a,b,,c".split(",")
"a,b,c".split(",", 1)
"a b c".split(None, 1)
" a  b c ".split(None, 1)
" a b ".split(maxsplit=5)
"a b".split("")
"a,b,c".split(sep=",", maxsplit=-1)
"a,b,c".rsplit(",", 1)
"a b c".rsplit(None, 1)
" a  b c ".rsplit(None, 1)
" a b ".rsplit()
"a,b".rsplit(",")
"".rsplit(",")
"a\nb\r\nc\rd".splitlines()
"a\nb\n".splitlines()
"a\nb\n".splitlines(True)
"\n\n".splitlines()
"".splitlines()
"a=b=c".partition("=")
"a=b=c".rpartition("=")
"abc".partition("=")
"abc".rpartition("=")
", ".join(["a", "b"])
", ".join([])
"-".join("abc")
", ".join([1])
", ".join(5)
"aXbX".replace("X", "-")
"aXbX".replace("X", "-", 1)
"ab".replace("", "-")
"ab".replace("", "-", 2)
"a".replace("a", 1)
"abc".startswith("ab")
"abc".startswith(("x", "a"))
"abc".startswith(1)
"abc".endswith("bc")
"abc".removeprefix("a")
"abc".removesuffix("c")
"banana".count("a")
"banana".count("")
"banana".find("n")
"banana".rfind("n")
"banana".find("x")
"banana".index("x")
"ëa".find("a")
"5".zfill(3)
"-5".zfill(4)
"+5".zfill(1)
"".zfill(2)
"a".ljust(3) + "|"
"a".rjust(3, "*")
"a".center(4, "*")
"a".center(5, "*")
"ab".center(5, "*")
"abc".center(4, "*")
"a".ljust(3, "ab")
"12".isdigit()
"".isdigit()
"1a".isalnum()
"a".isalpha()
" \t".isspace()
"AB1".isupper()
"aB".islower()
"1".isupper()
"%d" % 5
"%5d|" % 5
"%-5d|" % 5
"%05d" % -5
"%+d" % 5
"% d" % 5
"%s and %s" % ("a", 1)
"%s" % [1, "a"]
"%r" % "a"
"%5s|%-5s|" % ("a", "b")
"%.2s" % "abc"
"%x %X %o %#x" % (255, 255, 8, 255)
"%f %.2f %e %g" % (1.5, 1.005, 12345.678, 0.0001)
"%g" % 1e10
"%G" % 1e-10
"%5.1f|" % 2.25
"%c%c" % ("a", 98)
"%%" % ()
"%d%%" % 50
"%(a)s-%(b)03d" % {"a": "x", "b": 7}
"%(z)s" % {"a": 1}
"%(z)s" % 1
"%s" % (1, 2)
"%s %s" % 1
"%d" % "a"
"%d" % 5.9
"%x" % 5.5
"%z" % 1
"%" % 1
"%s" % {"a": 1}
"x" % {"a": 1}
"x" % 1
"x" % ()
"x" % []
"x" % [1, 2]
"x" % range(3)
"%s %s" % [1, 2]
"{:d}".format([])
"{:s}".format(None)
"{:.2f}".format({})
"{:^+9}".format(True)
"abc".find(None)
"abc".count(None)
"abc".partition(None)
"{}".format(1)
"{} {}".format("a", [1])
"{1} {0}".format("a", "b")
"{a}{b}".format(a=1, b="x")
"{} {0}".format(1)
"{0} {}".format(1)
"{}".format()
"{a}".format(b=1)
"{{".format()
"{".format(1)
"}".format(1)
"{:5}|".format(1)
"{:5}|".format("a")
"{:<5}|{:>5}|{:^5}|".format("a", "b", "c")
"{:*^7}".format("ab")
"{:05}".format(-3)
"{:+}".format(3)
"{: }".format(3)
"{:,}".format(1234567)
"{:,.2f}".format(1234567.891)
"{:x} {:X} {:#x} {:o} {:b} {:#b}".format(255, 255, 255, 8, 5, 5)
"{:.2f}".format(2.675)
"{:.3}".format("abcdef")
"{:.3}".format(3.14159)
"{:.3}".format(1234.5)
"{:.1}".format(5.0)
"{:e}".format(12345.678)
"{:g} {:g} {:g}".format(1e-5, 123456789.0, 0.5)
"{:%}".format(0.25)
"{:.0f}".format(0.5)
"{:f}".format(3)
"{:d}".format(3.0)
"{:d}".format("a")
"{:s}".format(3)
"{:n2}".format(3)
"{!r}".format("a")
"{!s:>5}".format([1])
"{!x}".format(1)
"{:=+6}".format(5)
"{:06.2f}".format(-1.5)
"{:010,}".format(1) if False else 0
"{:}".format(None)
"{:5}".format(None)
"{:5}".format(True)
"{:c}".format(97)
"{:f}".format(float("inf"))
"{:5.1f}|".format(float("nan"))
"{:<05}".format(3)
"a".nope()
(5).nope
None.x
payload.nope
5()
len(1, 2)
len()
int("5", bas=10)
str(nope)
"\n"
"\u00e9"
'a' 
r"\n"
"tab\there"
["a"][0][0][0]
[[1, 2], [3]][1][0]
{"a": {"b": [10, 20]}}["a"]["b"][-1]
1 if "x" == "y" else (2 if 1 > 0 else 3)
"yes" if payload["b"] and payload["n"] > 3 else "no"
0x1f
0o17
0b11
1 if 2 > 1 and 3 > 2 else 0
not 1 == 2
- 2 * 3
2 + 3 * 4
(2 + 3) * 4
10 - 4 - 3
100 // 10 // 3
"""

out = []
for expr in EXPRESSIONS.strip("\n").split("\n"):
    row = {"expr": expr}
    try:
        row["value"] = str(eval(expr, {"payload": payload}))
    except Exception as e:
        row["value"] = ""
        row["error"] = type(e).__name__
    out.append(row)
print(json.dumps(out, ensure_ascii=True, indent=0))
