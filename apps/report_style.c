/* The look of the report. The pair of colours for training and testing is told apart by people who see red and green
 * alike (after M. Okabe and K. Ito, "Color universal design", 2008); that of testing is the page's one accent. */
#include "apps/report_style.h"

static const char *const COLOURS[] = {
    ":root{color-scheme:light dark;--paper:#fcfbf8;--tile:#fff;--ink:#1b1c1e;--soft:#63666c;--rule:#e0ddd5;",
    "--test:#0068a5;--train:#b44d00;--shade:180 77 0}",
    "@media(prefers-color-scheme:dark){:root{--paper:#141518;--tile:#000;--ink:#e8e6e1;--soft:#9b9ea5;--rule:#313339;",
    "--test:#67b7ee;--train:#f0a04b;--shade:240 160 75}}",
    NULL,
};

static const char *const SVG[] = {
    "svg text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif;fill:var(--ink);",
    "font-variant-numeric:tabular-nums}",
    "svg .title{font-weight:600;font-size:13px}svg .tick{fill:var(--soft)}svg .label{font-weight:600}",
    "svg .middle{text-anchor:middle}svg .end{text-anchor:end}",
    "svg .grid{stroke:var(--rule);stroke-width:1}svg .axis{stroke:var(--soft);stroke-width:1;fill:none}",
    "svg .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}",
    "svg .line.test{stroke:var(--test)}svg .line.train{stroke:var(--train)}svg .line.rate{stroke:var(--ink)}",
    "svg .faint{stroke-width:1;opacity:.35}",
    "svg circle.test,svg text.test{fill:var(--test)}svg circle.train,svg text.train{fill:var(--train)}",
    "svg circle.rate{fill:var(--ink)}svg .paper{fill:var(--paper)}",
    ".ink{image-rendering:pixelated}@media(prefers-color-scheme:dark){.ink{filter:invert(1)}}",
    NULL,
};

static const char *const PAGE[] = {
    "*{box-sizing:border-box}",
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,",
    "'Liberation Sans',sans-serif;-webkit-text-size-adjust:100%}",
    "main{max-width:1160px;margin:0 auto;padding:40px 20px 64px}",
    "h1{font-size:34px;line-height:1.15;letter-spacing:-.02em;margin:0;font-weight:700}",
    "h2{font-size:20px;line-height:1.3;letter-spacing:-.01em;margin:0 0 4px;font-weight:650}",
    "p{margin:0 0 12px}.lead{color:var(--soft);margin:6px 0 0;overflow-wrap:anywhere}",
    ".note,small{color:var(--soft);font-size:14px;line-height:1.45}.note{max-width:66ch}",
    "section{margin-top:56px}",
    ".facts{display:flex;flex-wrap:wrap;gap:20px 40px;margin:28px 0 0;padding:20px 0;border:solid var(--rule);",
    "border-width:1px 0;font-variant-numeric:tabular-nums}",
    ".facts div{display:flex;flex-direction:column}.facts dt{order:2;color:var(--soft);font-size:14px}",
    ".facts dd{margin:0;font-size:24px;line-height:1.25;font-weight:600;letter-spacing:-.01em}",
    ".facts .main dd{color:var(--test)}",
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:28px;margin-top:16px}",
    ".charts svg,.sheet{display:block;width:100%;height:auto;overflow:visible}",
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:40px 48px}",
    ".pair>div{min-width:0}.sheet{margin:12px 0 40px}",
    ".scroll{overflow-x:auto;margin-top:12px}",
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px;line-height:1.3}",
    "th{font-weight:600}td,th{padding:5px 8px;text-align:right;white-space:nowrap}",
    "thead th{color:var(--soft);font-weight:500}",
    "tbody tr{border-top:1px solid var(--rule)}tfoot tr{border-top:1px solid var(--soft)}",
    ".scores{width:100%}.layers{width:100%}.layers td,.layers th{padding:2.5px 8px}",
    ".scores th:first-child,.layers th:first-child{text-align:left}",
    ".confusion td,.confusion th{text-align:center;padding:5px 2px;min-width:44px}",
    ".confusion .side{text-align:right}.confusion .right{font-weight:600}.none{color:var(--soft);opacity:.6}",
    ".error{background:rgb(var(--shade)/calc(.12 + .5*var(--share)))}",
    ".mistakes{display:grid;grid-template-columns:repeat(3,1fr);gap:20px 16px;margin-top:16px}",
    "@media(min-width:600px){.mistakes{grid-template-columns:repeat(6,1fr)}}",
    "@media(min-width:1000px){.mistakes{grid-template-columns:repeat(8,1fr)}}",
    ".mistake{margin:0;font-variant-numeric:tabular-nums;line-height:1.35}.mistake small{font-size:13px}",
    ".mistake img{display:block;width:100%;height:auto;max-width:112px;border:1px solid #e0ddd5;margin-bottom:6px}",
    ".wrong,.below{color:var(--train)}.above{color:var(--test)}",
    ".filters{display:flex;flex-wrap:wrap;gap:8px;margin-top:12px}",
    ".filter{width:56px;height:auto;image-rendering:pixelated;border:1px solid var(--rule)}",
    "pre,code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace}",
    "pre{overflow-x:auto;margin:12px 0}.command{padding:12px 14px;background:var(--tile);border:1px solid var(--rule);",
    "white-space:pre-wrap;overflow-wrap:anywhere}",
    ".settings{columns:260px;column-gap:48px;margin:12px 0;font-size:14px;font-variant-numeric:tabular-nums}",
    ".settings div{display:flex;justify-content:space-between;gap:16px;padding:4px 0;break-inside:avoid;",
    "border-bottom:1px solid var(--rule)}",
    ".settings dt{color:var(--soft);white-space:nowrap}.settings dd{margin:0;text-align:right;overflow-wrap:anywhere}",
    "@media(max-width:520px){main{padding:24px 16px 48px}h1{font-size:28px}section{margin-top:40px}",
    ".facts{gap:16px 28px}.sheet text{font-size:14px}table{font-size:12px}td,th{padding:5px 4px}",
    ".confusion td,.confusion th{min-width:0;padding:5px 3px;font-size:12px}}",
    NULL,
};

static void write_lines(FILE *file, const char *const *lines)
{
    for (; *lines != NULL; lines++) fprintf(file, "%s\n", *lines);
}

void report_style_svg(FILE *file)
{
    write_lines(file, COLOURS);
    write_lines(file, SVG);
}

void report_style_page(FILE *file)
{
    report_style_svg(file);
    write_lines(file, PAGE);
}

void report_svg_begin(FILE *file, int width, int height)
{
    fprintf(file, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n",
            width, height, width, height);
    fprintf(file, "<style>\n");
    report_style_svg(file);
    fprintf(file, "</style>\n<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", width, height);
}
