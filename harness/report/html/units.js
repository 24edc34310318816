// Quantities as harness/text/units.py writes them: a test compares the two.
"use strict";

const units = (() => {
  const group = (text) => {
    const [whole, decimals] = text.split(".");
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
    return decimals === undefined ? grouped : `${grouped}.${decimals}`;
  };
  const stripped = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

  // `digits` significant digits and every digit of the integer part, without an exponent.
  function significant(x, digits) {
    const exponent = Number(x.toExponential(digits - 1).split("e")[1]);
    const text = stripped(group(x.toFixed(Math.min(7, Math.max(0, digits - 1 - exponent)))));
    return text === "-0" ? "0" : text;
  }

  const word = (x) => (Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf");
  const pad = (n) => String(n).padStart(2, "0");

  function count(n) {
    if (!Number.isFinite(n)) return word(n);
    for (const [unit, name] of [[1e12, "trillion"], [1e9, "billion"]]) {
      if (Math.abs(n) >= 0.9995 * unit) return `${significant(n / unit, 3)} ${name}`;
    }
    return Number.isInteger(n) ? group(String(n)) : significant(n, 3);
  }

  function duration(seconds) {
    if (!Number.isFinite(seconds)) return word(seconds);
    if (Math.abs(seconds) < 0.5e-9) return "0 s";
    if (seconds < 0) return `-${duration(-seconds)}`;
    for (const [unit, name] of [[1e-9, "ns"], [1e-6, "µs"], [1e-3, "ms"]]) {
      if (seconds < 999.5 * unit) return `${significant(seconds / unit, 3)} ${name}`;
    }
    if (seconds < 59.95) return `${significant(seconds, 3)} s`;
    const in_ = (unit) => Math.round(seconds / unit);
    if (in_(1) < 3600) {
      const rest = in_(1) % 60;
      return `${Math.floor(in_(1) / 60)} min${rest ? ` ${pad(rest)} s` : ""}`;
    }
    if (in_(60) < 24 * 60) {
      const rest = in_(60) % 60;
      return `${Math.floor(in_(60) / 60)} h${rest ? ` ${pad(rest)} min` : ""}`;
    }
    const days = Math.floor(in_(3600) / 24), hours = in_(3600) % 24;
    if (days < 100) return `${days} ${days === 1 ? "day" : "days"}${hours ? ` ${hours} h` : ""}`;
    return `${count(in_(86400))} days`;
  }

  function size(bytes) {
    if (!Number.isFinite(bytes)) return word(bytes);
    const names = ["B", "KiB", "MiB", "GiB", "TiB"];
    let value = Math.abs(bytes), i = 0;
    for (; value >= 1023.5 && i < names.length - 1; i++) value /= 1024;
    const text = significant(value, 3);
    return `${bytes < 0 && text !== "0" ? "-" : ""}${i < names.length - 1 ? text.replace(",", "") : text} ${names[i]}`;
  }

  function number(x, digits = 4) {
    if (!Number.isFinite(x)) return word(x);
    if (x === 0 || (Math.abs(x) >= 1e-4 && Math.abs(x) < 1e9)) return significant(x, digits);
    const [mantissa, exponent] = x.toExponential(digits - 1).split("e");
    return `${stripped(mantissa)}e${Number(exponent)}`;
  }

  return { count, duration, number, size };
})();
