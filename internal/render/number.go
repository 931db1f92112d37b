package render

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
)

func intFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(0, 2)
	if err != nil || len(args) == 0 {
		return starlark.MakeInt(0), err
	}
	base := int64(10)
	if len(args) == 2 {
		if base, err = a.whole(args[1], 10); err != nil {
			return nil, err
		}
		if base != 0 && (base < 2 || base > 36) {
			return nil, valueError("int() base must be >= 2 and <= 36, or 0")
		}
	}
	switch v := args[0].(type) {
	case starlark.String:
		if err := e.look(64 * min(len(v), 5000)); err != nil {
			return nil, err
		}
		if len(v) <= 5000 {
			if n, ok := parseInt(strings.TrimSpace(string(v)), int(base)); ok {
				return e.intResult(n, n, n)
			}
		}
		text, err := e.repr(v)
		if err != nil {
			return nil, err
		}
		return nil, valueError("invalid literal for int() with base %d: %.200s", base, text)
	case starlark.Float:
		if len(args) == 2 {
			break
		}
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, valueError("cannot convert float %s to integer", floatText(float64(v)))
		}
		return starlark.NumberToInt(v)
	default:
		if n, ok := number(v).(starlark.Int); ok && len(args) == 1 {
			return n, nil
		}
	}
	if len(args) == 2 {
		return nil, typeError("int() can't convert non-string with explicit base")
	}
	return nil, typeError("int() argument must be a string or a real number, not '%s'", typeName(args[0]))
}

// parseInt reads digits in a base, with Python's underscores between them.
func parseInt(s string, base int) (starlark.Int, bool) {
	if len(s) > 4301 || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") {
		return starlark.Int{}, false
	}
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || strings.HasPrefix(digits, "_") {
		return starlark.Int{}, false
	}
	prefixes := map[int]string{2: "0b", 8: "0o", 16: "0x"}
	if p := prefixes[base]; p != "" && len(digits) > 2 && strings.EqualFold(digits[:2], p) {
		digits = digits[2:]
	}
	if base != 0 {
		digits = strings.ReplaceAll(digits, "_", "")
	}
	if base == 0 && len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0_") != "" && digits[1] >= '0' && digits[1] <= '9' {
		return starlark.Int{}, false // 010 is no number in Python
	}
	if digits == "" || digits[0] == '+' || digits[0] == '-' {
		return starlark.Int{}, false
	}
	n, ok := new(big.Int).SetString(digits, base)
	if !ok || n.BitLen() > maxIntBits {
		return starlark.Int{}, false
	}
	if strings.HasPrefix(s, "-") {
		n.Neg(n)
	}
	return starlark.MakeBigInt(n), true
}

func floatFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(0, 1)
	if err != nil || len(args) == 0 {
		return starlark.Float(0), err
	}
	s, ok := args[0].(starlark.String)
	if !ok {
		n := number(args[0])
		if n == nil {
			return nil, typeError("float() argument must be a string or a real number, not '%s'", typeName(args[0]))
		}
		f, err := asFloat(n)
		return starlark.Float(f), err
	}
	if err := e.look(len(s)); err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(s))
	digits, ok := dropUnderscores(text)
	f, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil && !math.IsInf(f, 0) || strings.ContainsAny(text, "xXpP") {
		quoted, err := e.repr(s)
		if err != nil {
			return nil, err
		}
		return nil, valueError("could not convert string to float: %.200s", quoted)
	}
	return starlark.Float(f), nil
}

// dropUnderscores removes underscores, each of which must stand between two
// digits. The copy is charged by the caller's look: texts that have any and are
// longer than a number can be are refused.
func dropUnderscores(s string) (string, bool) {
	if !strings.Contains(s, "_") {
		return s, true
	}
	if len(s) > 1000 {
		return "", false
	}
	isDigit := func(i int) bool { return i >= 0 && i < len(s) && '0' <= s[i] && s[i] <= '9' }
	for i := range len(s) {
		if s[i] == '_' && !(isDigit(i-1) && isDigit(i+1)) {
			return "", false
		}
	}
	return strings.ReplaceAll(s, "_", ""), true
}

func boolFunction(_ *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(0, 1)
	if err != nil || len(args) == 0 {
		return starlark.False, err
	}
	return args[0].Truth(), nil
}

func lenFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	if s, ok := args[0].(starlark.String); ok {
		if err := e.look(len(s)); err != nil {
			return nil, err
		}
	}
	n, err := length(args[0])
	return starlark.MakeInt64(n), err
}

func absFunction(e *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.plain(1, 1)
	if err != nil {
		return nil, err
	}
	switch n := number(args[0]).(type) {
	case starlark.Int:
		if n.Sign() < 0 {
			return e.intResult(n, n, starlark.MakeInt(0).Sub(n))
		}
		return n, nil
	case starlark.Float:
		return starlark.Float(math.Abs(float64(n))), nil
	}
	return nil, typeError("bad operand type for abs(): '%s'", typeName(args[0]))
}

func roundFunction(_ *evaluation, a *arguments) (starlark.Value, error) {
	args, err := a.take(1, "number", "ndigits")
	if err != nil {
		return nil, err
	}
	n := number(args[0])
	f, isFloat := n.(starlark.Float)
	switch {
	case n == nil:
		return nil, typeError("type %s doesn't define __round__ method", typeName(args[0]))
	case args[1] == nil || args[1] == starlark.None:
		if !isFloat {
			return n, nil
		}
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return nil, valueError("cannot convert float %s to integer", floatText(float64(f)))
		}
		return starlark.NumberToInt(starlark.Float(math.RoundToEven(float64(f))))
	}
	digits, err := a.whole(args[1], 0)
	switch {
	case err != nil:
		return nil, err
	case digits < 0:
		return nil, unsupported("round() to fewer than 0 digits is not supported")
	case !isFloat || digits > 330:
		return n, nil
	}
	g, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'f', int(digits), 64), 64)
	if err != nil {
		return nil, failure("OverflowError", "rounded value too large to represent")
	}
	return starlark.Float(g), nil
}
