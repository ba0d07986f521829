rule corpus:
    """Fetch, filter, deduplicate, decontaminate and split a corpus; write it as bytes."""
    input:
        lambda w: SUITE.source_files(w.corpus),
    output:
        "results/data/{corpus}/bytes/train.bin",
        "results/data/{corpus}/bytes/valid.bin",
        manifest="results/data/{corpus}/bytes/manifest.json",
    log:
        "results/data/logs/{corpus}.bytes.log",
    priority: 2000
    conda:
        "../../environment.yml"
    threads: 1
    params:
        corpus=lambda w: SUITE.corpus_json(w.corpus),
        code=lambda w: SUITE.corpus_code(w.corpus),
        out=lambda w, output: os.path.dirname(output.manifest),
    message:
        "corpus {wildcards.corpus}: fetch, filter, deduplicate, split (log: {log})"
    shell:
        "python -m mtp.prepare corpus --corpus {params.corpus:q} --out {params.out:q} > {log:q} 2>&1"


rule examples:
    """Held-out examples of a synthetic task; training examples are made while training."""
    output:
        "results/data/{corpus}/bytes/valid.bin",
        manifest="results/data/{corpus}/bytes/manifest.json",
    log:
        "results/data/logs/{corpus}.bytes.log",
    wildcard_constraints:
        corpus="|".join(SUITE.synthetic) or "none",
    priority: 2000
    conda:
        "../../environment.yml"
    threads: 1
    params:
        corpus=lambda w: SUITE.corpus_json(w.corpus),
        code=lambda w: SUITE.examples_code(w.corpus),
        out=lambda w, output: os.path.dirname(output.manifest),
    message:
        "corpus {wildcards.corpus}: held-out examples (log: {log})"
    shell:
        "python -m mtp.prepare corpus --corpus {params.corpus:q} --out {params.out:q} > {log:q} 2>&1"


ruleorder: examples > corpus


rule tokens:
    """Train a byte-level BPE vocabulary on the training text, or borrow one, and encode the corpus with it."""
    input:
        text="results/data/{corpus}/bytes/manifest.json",
        tokenizer=lambda w: SUITE.tokenizer_files(w.corpus, w.vocab_size),
    output:
        "results/data/{corpus}/bpe{vocab_size}/train.bin",
        "results/data/{corpus}/bpe{vocab_size}/valid.bin",
        "results/data/{corpus}/bpe{vocab_size}/tokenizer.json",
        manifest="results/data/{corpus}/bpe{vocab_size}/manifest.json",
    log:
        "results/data/logs/{corpus}.bpe{vocab_size}.log",
    priority: 2000
    conda:
        "../../environment.yml"
    threads: 1
    params:
        code=SUITE.code("mtp.data.tokenizer"),
        source=lambda w, input: os.path.dirname(input.text),
        tokenizer=lambda w, input: " ".join(
            f"--tokenizer {os.path.dirname(t)}" for t in input.tokenizer
        ),
        out=lambda w, output: os.path.dirname(output.manifest),
    message:
        "corpus {wildcards.corpus}: {wildcards.vocab_size} byte-level BPE tokens (log: {log})"
    shell:
        "python -m mtp.prepare tokens --bytes-dir {params.source:q} --vocab-size {wildcards.vocab_size}"
        " {params.tokenizer} --out {params.out:q} > {log:q} 2>&1"


rule pieces:
    """Encode a corpus with the SentencePiece model of weights that others have trained."""
    input:
        text="results/data/{corpus}/bytes/manifest.json",
        model=lambda w: SUITE.pieces_model(w.vocab_size),
    output:
        "results/data/{corpus}/sp{vocab_size}/train.bin",
        "results/data/{corpus}/sp{vocab_size}/valid.bin",
        "results/data/{corpus}/sp{vocab_size}/tokenizer.model",
        manifest="results/data/{corpus}/sp{vocab_size}/manifest.json",
    log:
        "results/data/logs/{corpus}.sp{vocab_size}.log",
    priority: 2000
    conda:
        "../../environment.yml"
    threads: 1
    params:
        code=SUITE.code("mtp.data.encode_pieces"),
        source=lambda w, input: os.path.dirname(input.text),
        out=lambda w, output: os.path.dirname(output.manifest),
    message:
        "corpus {wildcards.corpus}: {wildcards.vocab_size} SentencePiece pieces (log: {log})"
    shell:
        "python -m mtp.data.encode_pieces --bytes-dir {params.source:q} --model {input.model:q} --out {params.out:q}"
        " > {log:q} 2>&1"


rule baselines:
    """Bits per byte of gzip, xz and an interpolated 5-gram model on the held-out text."""
    input:
        "results/data/{corpus}/bytes/manifest.json",
    output:
        "results/data/{corpus}/baselines.json",
    log:
        "results/data/logs/{corpus}.baselines.log",
    conda:
        "../../environment.yml"
    threads: 1
    params:
        code=SUITE.code("mtp.data.baselines"),
        source=lambda w, input: os.path.dirname(input[0]),
    message:
        "corpus {wildcards.corpus}: gzip, xz and 5-gram"
    shell:
        "python -m mtp.prepare baselines --bytes-dir {params.source:q} --out {output:q} > {log:q} 2>&1"
