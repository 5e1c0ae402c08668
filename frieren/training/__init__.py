"""Training: one loop, one recipe per part, checkpoints from which a run resumes bit-exactly.

run         recipes -> trained parts, one after the other
recipe      TOML -> what a run is; `loss_settings`: its [loss]
stages      recipe -> task with data, frozen parts and start
tasks/      what a batch is, its losses (of the field: `flow_losses`) and its validation, part by part
data        clips and recordings; `crops`: windows of the field
loop        steps, log lines, validations, checkpoints
learner     a network on the machines, its optimiser, its averaged weights, one step; `feed`: its batches
machines    processes and devices; `randomness`: seeds; `checkpoint`: a run's state on disk
assembly    trained parts -> a model folder
board       TensorBoard, Weights & Biases; `bench`: how fast this machine trains
"""
