# awk -f tests/public.awk HEADER...: what public headers declare, a line each: kind, name, file:line, and "documented"
# or "bare" for whether it has a contract. Kinds are function, object, macro and type.
#
# A contract is a comment right above, which holds up to the next blank line or comment; or one behind it, or within it.
# A macro and the function that it calls, op_sum and op_sum_with, share theirs.

function note(kind, name, documented) {
    count++
    kinds[count] = kind
    names[count] = name
    places[count] = FILENAME ":" started
    contract[name] = contract[name] || documented
}

# The name that a finished declaration declares, by its text without comments.
function declared(text, documented) {
    if (text !~ /^#define/) gsub(/__attribute__ *\(\(.*\)\)|WEFT_CHECKED/, "", text)
    if (text ~ /^#define/) {
        name = text
        sub(/^#define[ \t]+/, "", name)
        sub(/[^A-Za-z_0-9].*/, "", name)
        body = substr(text, index(text, name) + length(name))
        sub(/^\([^)]*\)/, "", body)
        if (match(body, /[a-z_0-9]+\(/)) partner[name] = substr(body, RSTART, RLENGTH - 1)
        if (name !~ /_H$/) note("macro", name, documented)
    } else if (text ~ /^(typedef|struct|enum)/) {
        name = text
        if (text ~ /^typedef.*\)[ \t]*;[ \t]*$/) sub(/\(.*/, "", name)      # of a function type
        else if (text ~ /^enum \{/) { sub(/^enum \{[ \t]*/, "", name); sub(/[ =,}].*/, "", name) }
        else if (text ~ /^(struct|enum)/) sub(/[ \t]*\{.*/, "", name)
        sub(/[ \t]*;[ \t]*$/, "", name)
        sub(/.*[ \t*]/, "", name)
        note("type", name, documented)
    } else if (text ~ /^extern/ || text !~ /\(/) {
        name = text
        sub(/[ \t]*;.*/, "", name)
        sub(/.*[ \t*]/, "", name)
        if (text ~ /^extern/) note("object", name, documented)
    } else if (text !~ /^static/) {
        name = text
        sub(/[ \t]*\(.*/, "", name)
        sub(/.*[ \t*]/, "", name)
        note("function", name, documented)
    }
}

FNR == 1 { covered = 0; declaration = ""; within = 0; conditional = 0 }

{
    line = $0
    commented = within                                  # whether a comment touches this line
    code = ""
    while (line != "") {                                # split it into code and comment
        if (within) {
            end = index(line, "*/")
            if (!end) break
            line = substr(line, end + 2)
            within = 0
        } else {
            begin = index(line, "/*")
            if (!begin) { code = code line; break }
            code = code substr(line, 1, begin - 1)
            line = substr(line, begin + 2)
            within = 1
            commented = 1
        }
    }
    sub(/[ \t]+$/, "", code)
}

declaration == "" && code == "" {
    if (!commented) covered = 0
    else covered = $0 !~ /^\/\* ---- [^.]* ---- \*\/$/  # the head of a section says too little
    next
}
declaration == "" && (code ~ /^#(if|ifdef|ifndef|else|elif|endif|include|undef)/ || code ~ /^WEFT_PUBLIC_/) { next }

{
    if (declaration == "") { started = FNR; own = covered }
    if (commented) own = 1
    continued = sub(/\\$/, "", code)
    declaration = declaration code " "
    open += gsub(/\{/, "{", code) - gsub(/\}/, "}", code)
    if (declaration ~ /^#define/ ? !continued : open == 0 && code ~ /;$/) {
        declared(declaration, own)
        declaration = ""
        open = 0
    }
}

END {
    for (i = 1; i <= count; i++) {
        name = names[i]
        if (kinds[i] == "macro" && name in partner) {
            if (contract[partner[name]]) contract[name] = 1
            else if (contract[name]) contract[partner[name]] = 1
        }
    }
    for (i = 1; i <= count; i++) print kinds[i], names[i], places[i], contract[names[i]] ? "documented" : "bare"
}
