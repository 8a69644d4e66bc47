"""What RESULTS.md says of each table: how its figures were made."""

__all__ = ["BACKBONES", "COSINES", "CRITEO", "HILLSTROM", "KEEP", "WEIGHTS"]

CRITEO = """
## Backbones on Criteo's first 80,000 rows

```
python -m benchmarks.quality.models criteo
```

In order of the log: rows 0 to 63,999 train, 64,000 to 71,999 choose, 72,000 to 79,999
are scored once for each seed. The same for all: `configs/criteo.yaml` (embeddings of
10, batches of 512, Adam at 0.001 for everything but the tables, Adagrad for the
tables), hidden layers 256-128 and dropout 0.5 where a backbone has them, its other
settings as they are by default; logistic regression has embeddings of 1, gwpfm has
two parts (numbers, categories) of 5, experts have two sets of embeddings of 10: one
for gwpfm and ipnn, one for dcn_v2 and dnn. The tables' learning rate is fixed: 0.01
for backbones with hidden layers, 0.05 for those without, as
`benchmarks.quality.criteo` chose on validation rows for DCN V2 and for logistic
regression. Validation rows choose the step (looked at every 25, up to 4 epochs of
125). "Outside tables" are the weights that are no embeddings or first-order weights.
Seconds are those of training steps alone, the least of the seeds: no reading, no
evaluation; "CPU" counts both processors.
"""

HILLSTROM = """
## Multi-task systems on Hillstrom's e-mails

```
python -m benchmarks.quality.models hillstrom
```

64,000 recipients of e-mails; a visit of the shop is the click (14.7%), a purchase the
conversion (0.9%). Each seed cuts the rows anew: 60% train, 10% choose the step by the
log loss of clicks, 30% are scored; all lines of a cut see the same rows, and "against
bce" is the mean and deviation of the differences inside cuts. A cut has about 170
conversions to score: the standard error of one cut's conversion AUC is about 0.02.
Embeddings of 8, batches of 512, Adam at 0.001, at most 10 epochs. Shared-Bottom: a
layer of 64, towers of 32. MMoE: 4 experts of 64, towers of 32. PLE: one layer, 2
experts of 64 for each task and 2 shared, towers of 32. PWiseR stands on the click
task with the values 0.3, 0.3 and 0.1 for strength, margin over clicked and margin
over other rows in all three orders, since the paper's is not legible; nothing was
chosen among them.
"""

WEIGHTS = """
## Weights of UIM and NIP on Globo's clicks (the paper's figures 3 and 4)

```
python -m benchmarks.quality.models weights
```

Clicks of 2017-10-10, four negatives for each, drawn from the clicks of the hour
before: 165,850 rows from 15:00 to 17:00 UTC train, 61,110 to 18:00 choose, 141,100 to
20:00 are scored. `configs/globo.yaml` (history of 20, embeddings of 16, batches of
1,024) with cross-entropy alone, hidden layers 128-64, one epoch in a random order,
the rates 0.002 (dense) and 0.006 (tables) falling linearly to 0; those rates were
taken from one look at DIN without tasks on validation rows, and hold for everything
below. Temperatures 0.07 and 0.1, duplicates masked. "Against neither" is the mean and
deviation of the differences between the same seeds.
"""

BACKBONES = """
## Backbones with and without UIM and NIP on Globo's clicks (its tables 3 and 4)

```
python -m benchmarks.quality.models backbones
```

As above, at the weights that DIN's validation rows chose for each task alone, with
the first seed. dnn and dcn_v2 mean-pool the history. Other programs took most of the
machine meanwhile, so times are given twice: "CPU s/epoch" are the processor's seconds
of the trainings themselves, the least of the seeds; "in turns" (`... models times`)
all four variants of a backbone were built in one process and made 5 steps each by
turns, 12 rounds: seconds are those of the least round, times the steps of an epoch,
the ratio is the median over rounds with its 95% interval. Both are times of steps on
rows in memory: reading examples costs the same with and without tasks, so that the
ratio of whole trainings is nearer to 1.
"""

COSINES = """
## Cosine between behaviours and item (its figure 5)

Between the mean of the embeddings of the articles that a user had clicked and that of
the article shown, in the table that both share, after training; of the test's clicked
rows and of as many not clicked, without rows that have no history.
"""

KEEP = """
## Keep rate of negatives, with and without the tasks (its figure 2 and table 5)

```
python -m benchmarks.quality.models keep
```

DIN; `preprocessing.sampling.negative_keep_rate` for training rows, corrected by the
logit shift; the test rows are all there. "MiB" is the size of the training files,
uncompressed. One row in five is a click here, so a rate of 0.1 keeps 28% of the rows.
"""
