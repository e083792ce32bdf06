// Draws the plots of the page in the colours of the reader's scheme, and for paper in its size; nothing is fetched.
(function () {
  "use strict";
  var plots = JSON.parse(document.getElementById("plots").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var PAPER = { whole: 690, half: 335, height: 300 }; // px that fit A4 and Letter upright, within the margins of the style
  function colours(asDark) {
    var style = asDark ? ["#e6edf3", "#343b44"] : ["#1b1f24", "#d0d7de"];
    var axis = { gridcolor: style[1], zerolinecolor: style[1], linecolor: style[1] };
    return { ink: style[0], axis: axis };
  }
  function size(place) { // fixed: the browser lays a printed page out after it was drawn
    return { width: place.closest(".two") ? PAPER.half : PAPER.whole, height: PAPER.height };
  }
  function draw(asDark, onPaper) {
    var look = colours(asDark);
    Object.keys(plots).forEach(function (name) {
      var plot = plots[name], place = document.getElementById(name);
      var layout = Object.assign({}, plot.layout, onPaper ? size(place) : {}, {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: look.ink, size: onPaper ? 11 : 13, family: getComputedStyle(document.body).fontFamily },
        xaxis: Object.assign({}, look.axis, plot.layout.xaxis),
        yaxis: Object.assign({}, look.axis, plot.layout.yaxis)
      });
      var options = { responsive: true, displayModeBar: false };
      Plotly.react(place, plot.data, layout, options);
    });
  }
  draw(dark.matches, false);
  dark.addEventListener("change", function (event) { draw(event.matches, false); });
  window.addEventListener("beforeprint", function () { draw(false, true); });
  window.addEventListener("afterprint", function () { draw(dark.matches, false); });
})();
