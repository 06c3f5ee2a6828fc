"use strict";
// Draws the record of a run in one SVG, over one axis of time, and lets a reader look closer. Texts become text nodes
// and attributes only: none is ever read as HTML.
(function () {
  var data = JSON.parse(document.getElementById("record").textContent);
  var SVG = "http://www.w3.org/2000/svg";
  // Kinds of parts that are no index of who answered; as in picture.py.
  var SILENCE = -1, UNASKED = -2, MIXED = -3, UNNAMED = -4;
  // Okabe and Ito's colours, which people with any colour vision tell apart, each with a pattern of its own.
  var COLOURS = ["#56b4e9", "#e69f00", "#4fc3a1", "#dd9fc2", "#f0e442", "#bfa6ff"];
  var OVERLAYS = ["", "M0 8L8 0", "M0 4H8", "M4 0V8", "M2 2h1M6 6h1", "M0 0L8 8"];
  var STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 15000, 30000, 60000, 120000, 300000,
    600000, 900000, 1800000, 3600000, 7200000, 21600000, 43200000, 86400000];
  var SHORTEST = 20;  // ms that the whole picture shows at the least
  var LANE = 20, BAR = 15, BAND = 22, HEADING = 22, TOP = data.problems.length ? 30 : 10, BOTTOM = 34, EDGE = 8;

  var drawing = document.getElementById("drawing");
  if (!drawing) { return; }
  var view = {from: 0, to: data.length};
  var items = [];      // what the keys step through, in the order of time
  var chosen = null;   // the one they are at
  var layout = [];     // of each row: its place
  var plot = {left: 0, width: 1};
  var total = 0;
  var forced = 0;      // the width for a printer

  // ---- texts ----
  function seconds(ms) {
    var left = view.to - view.from;
    var digits = left < 2000 ? 3 : left < 20000 ? 2 : 1;
    return (ms / 1000).toFixed(digits) + " s";
  }
  function lasting(ms) {
    if (ms < 1000) { return ms + " ms"; }
    if (ms < 120000) { return (ms / 1000).toFixed(2) + " s"; }
    return Math.floor(Math.round(ms / 1000) / 60) + " min " + Math.round(ms / 1000) % 60 + " s";
  }
  function exactly(ms) {
    var at = new Date(data.begins + ms);
    var told = isNaN(at) ? "" : " (" + at.toISOString().slice(11, 23) + " UTC)";
    return (ms / 1000).toFixed(3) + " s" + told;
  }
  function answeredBy(kind) { return kind === UNNAMED ? "somebody who does not say" : data.who[kind]; }
  function tellPart(row, index) {
    var begins = row.parts[index * 4], length = row.parts[index * 4 + 1];
    var kind = row.parts[index * 4 + 2], count = row.parts[index * 4 + 3], more = row.told[index] || "";
    var told = row.group + " over " + row.name + ", " + exactly(begins) + ", for " + lasting(length) + ": ";
    if (kind === SILENCE) { return told + "silence, " + count + " lost (" + more + ")"; }
    if (kind === UNASKED) { return told + "nothing was asked"; }
    if (kind === MIXED) { return told + "answers and silences, too short to be drawn one by one: " + more; }
    return told + count + " answers by " + (more || answeredBy(kind));
  }
  function tellSpan(row, one) {
    var lasts = one[1] === null ? "to the end" : "for " + lasting(one[1] - one[0]);
    return row.name + ", " + exactly(one[0]) + ", " + lasts + ": " + one[2] + (one[3] ? " (wrong)" : "");
  }
  function tellMark(row, one) { return row.name + ", " + exactly(one[0]) + ": " + one[1] + (one[2] ? " (wrong)" : ""); }

  // ---- elements ----
  function element(name, attributes, parent, text) {
    var made = document.createElementNS(SVG, name);
    for (var key in attributes) { made.setAttribute(key, attributes[key]); }
    if (text !== undefined) { made.textContent = text; }
    if (parent) { parent.appendChild(made); }
    return made;
  }
  function fill(kind) {
    if (kind === SILENCE) { return "url(#silence)"; }
    if (kind === MIXED) { return "url(#mixed)"; }
    if (kind === UNNAMED) { return "#bbbbbb"; }
    return "url(#who" + kind % COLOURS.length + ")";
  }
  function patterns(svg) {
    var defs = element("defs", {}, svg);
    function pattern(id, paper, strokes, ink) {
      var made = element("pattern", {id: id, width: 8, height: 8, patternUnits: "userSpaceOnUse"}, defs);
      if (paper) { element("rect", {width: 8, height: 8, fill: paper}, made); }
      if (strokes) { element("path", {d: strokes, stroke: ink, "stroke-width": 1.2, "stroke-opacity": 0.3}, made); }
    }
    COLOURS.forEach(function (colour, index) { pattern("who" + index, colour, OVERLAYS[index], "#000000"); });
    pattern("mixed", "#bbbbbb", "M0 0L8 8M0 8L8 0", "#b3001b");
    var hatched = element("pattern", {id: "silence", width: 6, height: 6, patternUnits: "userSpaceOnUse"}, defs);
    element("path", {d: "M-1 7L7 -1M-1 1L1 -1M5 7L7 5", "class": "silence", fill: "none"}, hatched);
  }

  // ---- where everything is ----
  function x(ms) { return plot.left + (ms - view.from) / (view.to - view.from) * plot.width; }
  function time(px) { return view.from + (px - plot.left) / plot.width * (view.to - view.from); }

  var pen = document.createElement("canvas").getContext("2d");
  // Pixels of a text as the style has it: those that are wrong are bold.
  function widthOf(text, bold) {
    pen.font = (bold ? "600 " : "") + "11px system-ui, sans-serif";
    return pen.measureText(text).width;
  }
  function fitting(text, pixels, bold) {
    if (widthOf(text, bold) <= pixels) { return text; }
    var most = Math.max(0, Math.floor(pixels / widthOf(text, bold) * text.length) - 1);
    while (most > 0 && widthOf(text.slice(0, most) + "…", bold) > pixels) { most -= 1; }
    // Less than that of a text tells nothing.
    return most < 7 ? "" : text.slice(0, most) + "…";
  }

  // Spans that overlap are below each other, each always in the same line.
  data.rows.forEach(function (row) {
    if (!row.spans) { return; }
    var ends = [];
    row.lines = row.spans.map(function (one) {
      var end = one[1] === null ? data.length : one[1], line = 0;
      while (line < ends.length && ends[line] > one[0]) { line += 1; }
      line = Math.min(line, 5);
      ends[line] = Math.max(end, ends[line] || 0);
      return line;
    });
    row.depth = ends.length;
  });

  data.rows.forEach(function (row, number) {
    (row.spans || []).forEach(function (one) {
      items.push({row: number, from: one[0], to: one[1] === null ? data.length : one[1], told: tellSpan(row, one)});
    });
    (row.marks || []).forEach(function (one) {
      if (!one[3]) { items.push({row: number, from: one[0], to: one[0], told: tellMark(row, one)}); }
    });
    for (var index = 0; row.parts && index < row.parts.length / 4; index += 1) {
      if (row.parts[index * 4 + 2] === SILENCE) {
        var begins = row.parts[index * 4];
        items.push({row: number, from: begins, to: begins + row.parts[index * 4 + 1], told: tellPart(row, index), silent: true});
      }
    }
  });
  data.problems.forEach(function (one) {
    items.push({row: -1, from: one[0], to: one[0], told: "Problem " + one[1] + ", " + exactly(one[0]) + ": " + one[2]});
  });
  items.sort(function (one, other) { return one.from - other.from || one.row - other.row; });

  // ---- drawing ----
  function draw() {
    var width = forced || Math.max(280, Math.floor(drawing.clientWidth));
    var narrow = width < 640;
    plot.left = narrow ? 66 : 132;
    plot.width = width - plot.left - EDGE;
    place();
    var svg = element("svg", {width: width, height: total, viewBox: "0 0 " + width + " " + total, role: "img",
      "aria-label": "From " + exactly(view.from) + " to " + exactly(view.to) + ". " + summary()});
    patterns(svg);
    axis(svg);
    guides(svg);
    data.rows.forEach(function (row, number) {
      if (layout[number].heading !== null) {
        element("text", {x: 0, y: layout[number].heading + 15, "class": "heading"}, svg, fitting(row.group, width * 0.9, true));
      }
      var y = layout[number].y;
      var name = element("text", {x: 0, y: y + 12, "class": row.parts ? "small" : "heading"}, svg,
        fitting(row.name, (plot.left - 6) * (row.parts ? 1 : 0.9), !row.parts) || row.name.slice(0, 6));
      element("title", {}, name, row.name);
      if (row.parts) { lane(svg, row, y); } else { band(svg, row, y); }
    });
    problems(svg);
    if (chosen) { frame(svg, chosen); }
    drawing.replaceChildren(svg);
  }

  function summary() {
    var lost = items.filter(function (one) { return one.silent; }).length;
    return data.rows.filter(function (row) { return row.parts; }).length + " rows of answers with " + lost + " silences in all.";
  }

  function place() {
    var y = TOP, group = null;
    layout = data.rows.map(function (row) {
      var found = {heading: null, y: y};
      if (row.parts && row.group !== group) {
        found.heading = y;
        found.y = y = y + HEADING;
        group = row.group;
      }
      found.height = row.parts ? LANE : BAND * Math.max(1, row.depth) + (row.spans.length && row.marks.length ? BAND : 0) + 4;
      y += found.height;
      return found;
    });
    total = y + BOTTOM;
  }

  function axis(svg) {
    var most = Math.max(2, Math.floor(plot.width / 90)), span = view.to - view.from, bottom = total - BOTTOM;
    var step = STEPS.find(function (one) { return span / one <= most; }) || span / most;
    for (var at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
      element("line", {x1: x(at), x2: x(at), y1: TOP - 6, y2: bottom, "class": "grid"}, svg);
      var told = step >= 60000 ? at / 60000 + " min" : at / 1000 + " s";
      var anchor = x(at) > plot.left + plot.width - 20 ? "end" : "middle";
      element("text", {x: x(at), y: bottom + 16, "text-anchor": anchor, "class": "soft small"}, svg, told);
    }
    // Where in the whole run this is.
    var scale = plot.width / data.length;
    element("line", {x1: plot.left, x2: plot.left + plot.width, y1: total - 8, y2: total - 8, "class": "grid"}, svg);
    element("rect", {x: plot.left + Math.max(0, view.from) * scale, y: total - 11, rx: 3, height: 6,
      width: Math.max(4, span * scale), "class": "window"}, svg);
  }

  // Lines through all rows, where a fault begins and ends.
  function guides(svg) {
    var seen = {};
    data.rows.forEach(function (row) {
      // Of very many they would hide what they are to guide to.
      if (!row.guided || row.spans.filter(function (one) { return one[0] <= view.to && one[1] >= view.from; }).length > 20) { return; }
      row.spans.forEach(function (one) {
        [one[0], one[1]].forEach(function (at) {
          var px = at === null ? -1 : Math.round(x(at));
          if (px < plot.left || px > plot.left + plot.width || seen[px]) { return; }
          seen[px] = true;
          element("line", {x1: px, x2: px, y1: layout[0].y, y2: total - BOTTOM, "class": "guide"}, svg);
        });
      });
    });
  }

  function lane(svg, row, y) {
    var count = row.parts.length / 4, right = plot.left + plot.width;
    var reached = -1, rank = 0;
    for (var index = firstPart(row, view.from); index < count; index += 1) {
      var begins = row.parts[index * 4], ends = begins + row.parts[index * 4 + 1], kind = row.parts[index * 4 + 2];
      if (begins > view.to) { break; }
      if (ends < view.from) { continue; }
      var from = Math.max(plot.left, x(begins)), to = Math.min(right, x(ends));
      var silent = kind === SILENCE || kind === MIXED, width = Math.max(to - from, silent ? 2.5 : 1.5);
      if (to - from < 1) {
        // Of all that is as near as that the silence is drawn, or else the first.
        var own = silent ? 2 : 1;
        if (from < reached && own <= rank) { continue; }
        rank = from < reached ? Math.max(rank, own) : own;
        reached = from + width;
      }
      if (kind === UNASKED) {
        element("rect", {x: from, y: y + 3, width: width, height: BAR - 6, "class": "unasked"}, svg);
        continue;
      }
      element("rect", {x: from, y: y, width: width, height: BAR, fill: fill(kind), "class": silent ? "silence" : "answers"}, svg);
      var text = kind === SILENCE ? lasting(ends - begins) : kind === MIXED ? "" : row.told[index] || (kind === UNNAMED ? "" : data.who[kind]);
      if (text && widthOf(text) + 8 < width) {
        if (kind === SILENCE) {
          label(svg, (from + to) / 2, y, text);
        } else {
          var on = element("text", {x: from + 4, y: y + 11.5, "class": "on"}, svg, text);
          if (kind >= 0) { on.style.setProperty("--under", COLOURS[kind % COLOURS.length]); }
        }
      }
    }
  }

  // On the hatching of a silence, with room of its own.
  function label(svg, middle, y, text) {
    var wide = widthOf(text, true) + 4;
    var paper = element("rect", {x: middle - wide / 2, y: y + 1.5, width: wide, height: BAR - 3, rx: 2}, svg);
    paper.style.fill = "var(--paper)";
    element("text", {x: middle, y: y + 11.5, "text-anchor": "middle", "class": "silent"}, svg, text);
  }

  function firstPart(row, from) {
    var low = 0, high = row.parts.length / 4;
    while (low < high) {
      var middle = (low + high) >> 1;
      if (row.parts[middle * 4] + row.parts[middle * 4 + 1] < from) { low = middle + 1; } else { high = middle; }
    }
    return Math.max(0, low - 1);
  }

  function band(svg, row, y) {
    var right = plot.left + plot.width;
    row.spans.forEach(function (one, index) {
      var end = one[1] === null ? data.length : one[1];
      if (end < view.from || one[0] > view.to) { return; }
      var from = Math.max(plot.left, x(one[0])), to = Math.min(right, x(end)), top = y + row.lines[index] * BAND;
      var kind = row.guided ? "fault" : "span";
      element("rect", {x: from, y: top, width: Math.max(2.5, to - from), height: BAND - 5, rx: 2,
        "class": kind + (one[3] ? " failing" : "")}, svg);
      var room = to - from > 40 ? to - from - 8 : following(row, index, from) - 8;
      var text = fitting((one[3] ? "✘ " : "") + one[2], room, one[3]);
      if (text) {
        var at = to - from > 40 ? from + 4 : from + Math.max(2.5, to - from) + 3;
        if (at + widthOf(text, one[3]) <= right) {
          element("text", {x: at, y: top + 12.5, "class": "small" + (one[3] ? " bad" : "") + (to - from > 40 ? " within" : "")}, svg, text);
        }
      }
    });
    marks(svg, row, y + (row.spans.length ? BAND * row.depth : 0));
  }

  // Pixels up to the next span of the same line.
  function following(row, index, from) {
    for (var next = index + 1; next < row.spans.length; next += 1) {
      if (row.lines[next] === row.lines[index]) { return x(row.spans[next][0]) - from; }
    }
    return plot.left + plot.width - from;
  }

  function marks(svg, row, y) {
    var last = {}, right = plot.left + plot.width, groups = [];
    row.marks.forEach(function (one) {
      if (one[0] < view.from || one[0] > view.to) { return; }
      var at = x(one[0]), kind = one[2] ? "badmark" : one[3] ? "minor" : "mark", px = Math.round(at);
      if (last[kind] !== px) {
        last[kind] = px;
        element("line", {x1: at, x2: at, y1: y + (one[3] ? 9 : 2), y2: y + BAND - 5, "class": kind}, svg);
        if (!one[3]) { element("path", {d: "M" + (at - 4) + " " + (y + 1) + "h8l-4 5z", "class": kind}, svg); }
      }
      if (one[3]) { return; }
      var group = groups[groups.length - 1];
      if (group && at - group.last < 8) {
        group.last = at;
        group.more += 1;
        group.wrong = group.wrong || one[2];
      } else {
        groups.push({first: at, last: at, text: one[1], more: 0, wrong: one[2]});
      }
    });
    // One text for marks that touch: that of the first, and how many more there are.
    groups.forEach(function (group, index) {
      var room = (index + 1 < groups.length ? groups[index + 1].first - 6 : right) - group.last - 7;
      var more = group.more ? " +" + group.more : "";
      var text = fitting((group.wrong ? "✘ " : "") + group.text, room - widthOf(more, group.wrong), group.wrong);
      if (text.length > 3) {
        element("text", {x: group.last + 6, y: y + 14, "class": "small" + (group.wrong ? " bad" : "")}, svg, text + more);
      }
    });
  }

  function problems(svg) {
    var free = -1;
    data.problems.forEach(function (one) {
      if (one[0] < view.from || one[0] > view.to) { return; }
      var at = x(one[0]);
      element("line", {x1: at, x2: at, y1: 16, y2: total - BOTTOM, "class": "problem"}, svg);
      if (at > free) {
        var anchor = at > plot.left + plot.width - 20 ? "end" : "middle";
        element("text", {x: at, y: 12, "text-anchor": anchor, "class": "bad small"}, svg, "✘ " + one[1]);
        free = at + 30;
      }
    });
  }

  function frame(svg, one) {
    if (one.to < view.from || one.from > view.to) { return; }
    var from = Math.max(plot.left - 3, x(one.from) - 3), to = Math.min(plot.left + plot.width + 3, x(one.to) + 3);
    var place = one.row < 0 ? {y: 0, height: total - BOTTOM} : layout[one.row];
    element("rect", {x: from, y: place.y - 2, width: Math.max(7, to - from), height: place.height, rx: 3, "class": "chosen"}, svg);
  }

  // ---- looking closer ----
  var waiting = false;
  function show(from, to) {
    var span = Math.min(data.length, Math.max(SHORTEST, to - from)), middle = (from + to) / 2;
    view.from = Math.max(0, Math.min(data.length - span, middle - span / 2));
    view.to = view.from + span;
    if (data.length <= SHORTEST) { view = {from: 0, to: data.length}; }
    later();
  }
  function later() {
    if (waiting) { return; }
    waiting = true;
    requestAnimationFrame(function () { waiting = false; draw(); });
  }
  function zoom(factor, at) {
    var span = (view.to - view.from) * factor;
    if (at === undefined) { at = (view.from + view.to) / 2; }
    var share = (at - view.from) / (view.to - view.from);
    show(at - span * share, at + span * (1 - share));
  }
  function move(share) {
    var by = (view.to - view.from) * share;
    by = Math.max(-view.from, Math.min(data.length - view.to, by));
    show(view.from + by, view.to + by);
  }
  function longest() {
    var found = null;
    items.forEach(function (one) {
      if (one.silent && (!found || one.to - one.from > found.to - found.from)) { found = one; }
    });
    if (!found) { say("There is no silence."); return; }
    choose(found);
    var around = Math.max(200, (found.to - found.from) * 0.6);
    show(found.from - around, found.to + around);
  }
  function step(direction) {
    var index = items.indexOf(chosen);
    if (index < 0) {
      index = items.findIndex(function (one) { return one.from >= view.from; });
      index = direction > 0 ? (index < 0 ? items.length : index) : (index < 0 ? items.length : index) - 1;
    } else {
      index += direction;
    }
    if (index < 0 || index >= items.length) { say(direction > 0 ? "There is no later event." : "There is no earlier event."); return; }
    choose(items[index]);
    if (chosen.from < view.from || chosen.from > view.to) {
      var half = (view.to - view.from) / 2;
      show(chosen.from - half, chosen.from + half);
    }
  }
  function choose(one) { chosen = one; say(one.told); later(); }
  var readout = document.getElementById("readout"), told = document.getElementById("told");
  function say(text) { readout.textContent = text; told.textContent = text; }

  function at(px, py) {
    var ms = time(px), near = 6 / plot.width * (view.to - view.from);
    for (var number = 0; number < layout.length; number += 1) {
      var row = data.rows[number];
      if (py < layout[number].y || py >= layout[number].y + layout[number].height) { continue; }
      if (row.parts) {
        for (var index = firstPart(row, ms - near); index < row.parts.length / 4; index += 1) {
          var begins = row.parts[index * 4], ends = begins + row.parts[index * 4 + 1];
          if (begins > ms + near) { break; }
          if (ends >= ms && begins <= ms) { return tellPart(row, index); }
        }
        return "";
      }
      var mark = row.marks.filter(function (one) { return Math.abs(one[0] - ms) <= near; });
      if (mark.length) { return mark.slice(0, 4).map(function (one) { return tellMark(row, one); }).join("; "); }
      var span = row.spans.filter(function (one) {
        return one[0] - near <= ms && ms <= (one[1] === null ? data.length : one[1]) + near;
      });
      return span.slice(0, 4).map(function (one) { return tellSpan(row, one); }).join("; ");
    }
    var problem = data.problems.filter(function (one) { return py < TOP && Math.abs(one[0] - ms) <= near; });
    return problem.slice(0, 4).map(function (one) { return "Problem " + one[1] + ": " + one[2]; }).join("; ");
  }

  // ---- mouse and fingers ----
  var pointers = {}, dragged = null, pinched = null;
  function point(event) {
    var box = drawing.getBoundingClientRect(), scale = drawing.firstChild.getBoundingClientRect().width / (plot.left + plot.width + EDGE);
    return {x: (event.clientX - box.left) / (scale || 1), y: (event.clientY - box.top) / (scale || 1)};
  }
  drawing.addEventListener("pointerdown", function (event) {
    if (event.button !== 0) { return; }
    pointers[event.pointerId] = point(event);
    var ids = Object.keys(pointers);
    dragged = ids.length === 1 ? {from: pointers[event.pointerId].x, touch: event.pointerType === "touch", view: {from: view.from, to: view.to}} : null;
    if (ids.length === 2) {
      pinched = {a: time(pointers[ids[0]].x), b: time(pointers[ids[1]].x)};
    }
    if (drawing.setPointerCapture) { drawing.setPointerCapture(event.pointerId); }
  });
  drawing.addEventListener("pointermove", function (event) {
    var here = point(event);
    if (!(event.pointerId in pointers)) { readout.textContent = at(here.x, here.y) || "\u00a0"; return; }
    pointers[event.pointerId] = here;
    var ids = Object.keys(pointers);
    if (ids.length === 2 && pinched) {
      var a = pointers[ids[0]].x, b = pointers[ids[1]].x;
      if (Math.abs(a - b) < 10) { return; }
      var scale = (pinched.b - pinched.a) / (b - a);
      if (scale > 0) { show(pinched.a - (a - plot.left) * scale, pinched.a + (plot.left + plot.width - a) * scale); }
    } else if (dragged && dragged.touch) {
      var by = (dragged.from - here.x) / plot.width * (dragged.view.to - dragged.view.from);
      by = Math.max(-dragged.view.from, Math.min(data.length - dragged.view.to, by));
      show(dragged.view.from + by, dragged.view.to + by);
    } else if (dragged) {
      select(dragged.from, here.x);
    }
  });
  function select(from, to) {
    var svg = drawing.firstChild, old = svg.querySelector(".dragged");
    if (old) { old.remove(); }
    element("rect", {x: Math.min(from, to), y: TOP, width: Math.abs(to - from), height: total - TOP - BOTTOM, "class": "dragged"}, svg);
  }
  function released(event) {
    var here = point(event), was = dragged;
    delete pointers[event.pointerId];
    pinched = null;
    dragged = null;
    if (!was || event.type === "pointercancel") { return; }
    if (Math.abs(here.x - was.from) < 5) {
      var found = at(here.x, here.y);
      if (found) { say(found); }
      later();
    } else if (!was.touch) {
      show(time(Math.min(was.from, here.x)), time(Math.max(was.from, here.x)));
    }
  }
  drawing.addEventListener("pointerup", released);
  drawing.addEventListener("pointercancel", released);
  drawing.addEventListener("dblclick", function () { show(0, data.length); });
  drawing.addEventListener("wheel", function (event) {
    if (!event.ctrlKey && !event.metaKey) { return; }
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, time(point(event).x));
  }, {passive: false});

  // ---- keys and buttons ----
  var DO = {
    "in": function () { zoom(0.5); },
    out: function () { zoom(2); },
    left: function () { move(-0.3); },
    right: function () { move(0.3); },
    whole: function () { chosen = null; show(0, data.length); },
    longest: longest,
    previous: function () { step(-1); },
    next: function () { step(1); }
  };
  var KEYS = {"+": "in", "=": "in", "-": "out", "_": "out", ArrowLeft: "left", ArrowRight: "right", "0": "whole",
    Home: "whole", l: "longest", n: "next", p: "previous"};
  drawing.addEventListener("keydown", function (event) {
    var key = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!key || event.ctrlKey || event.metaKey || event.altKey) { return; }
    event.preventDefault();
    DO[key]();
  });
  document.querySelectorAll("[data-do]").forEach(function (button) {
    button.addEventListener("click", function () { DO[button.dataset["do"]](); });
  });
  document.querySelectorAll(".show").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      show(Number(button.dataset.from), Number(button.dataset.to));
      document.getElementById("picture").scrollIntoView();
      drawing.focus({preventScroll: true});
    });
  });

  // ---- what is there only with a script ----
  function swatch(kind, text, legend) {
    var entry = document.createElement("span");
    var svg = element("svg", {width: 22, height: 14, "aria-hidden": "true"}, entry);
    element("rect", {x: 0.5, y: 0.5, width: 21, height: 13, fill: kind === UNASKED ? "none" : fill(kind),
      "class": kind === SILENCE ? "silence" : kind === UNASKED ? "unasked" : ""}, svg);
    entry.appendChild(document.createTextNode(text));
    legend.appendChild(entry);
  }
  function legend() {
    var place = document.getElementById("legend"), kinds = {};
    data.rows.forEach(function (row) {
      for (var index = 2; row.parts && index < row.parts.length; index += 4) { kinds[row.parts[index]] = true; }
    });
    data.who.forEach(function (name, index) { swatch(index, "answered by " + name, place); });
    if (kinds[UNNAMED]) { swatch(UNNAMED, "answered, by a name that is told in the bar, or none", place); }
    swatch(SILENCE, "silence: no answer", place);
    if (kinds[MIXED]) { swatch(MIXED, "answers and silences, too many to be told apart", place); }
    if (kinds[UNASKED]) { swatch(UNASKED, "nothing asked", place); }
  }
  document.getElementById("without").hidden = true;
  ["tools", "legend", "drawing", "readout", "keys"].forEach(function (id) { document.getElementById(id).hidden = false; });
  legend();
  draw();
  var drawn = drawing.clientWidth;
  window.addEventListener("resize", function () {
    if (drawing.clientWidth !== drawn) { drawn = drawing.clientWidth; later(); }
  });
  window.addEventListener("beforeprint", function () { forced = 700; draw(); });
  window.addEventListener("afterprint", function () { forced = 0; draw(); });
})();
