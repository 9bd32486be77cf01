/* The GPU half of the hardware twin: a libnvidia-ml.so.1 whose GPUs follow the square wave of wave.py.

   Every value is a closed form of CLOCK_MONOTONIC, so all processes see the same counters and a test knows the true
   energy. gpu.py builds it and writes its configuration, the file that JOULEBOOK_TWIN_NVML names: one "key value" a
   line, a line "gpu" before what belongs to the next GPU. It is read at nvmlInit; without one there is no driver.

   Handles stand for one initialisation: after a shutdown that reaches zero, or in a forked child, they are refused. */

#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9, FUNCTION_NOT_FOUND = 13
};
enum { FIELD_ENERGY = 83, FIELD_AVERAGE = 185, FIELD_INSTANT = 186, SCOPE_GPU = 0, SCOPE_MODULE = 1 };
enum { MAX_GPUS = 32, MAX_MIGS = 8, MAX_PROCESSES = 16, MAX_MISSING = 16 };

/* What gpu.py may say of a GPU; each is a number. Its meaning stands there. */
#define KNOBS(X) \
    X(low_w) X(high_w) X(period_s) X(duty) X(phase_s) X(architecture) X(major) X(minor) X(counter) X(begin_mj) \
    X(update_s) X(reset_s) X(frozen_s) X(window_s) X(average_s) X(usage_s) X(gpu_scope) X(module_w) X(limit_w) \
    X(error) X(error_from_s) X(error_to_s) X(lost) X(mig) X(max_slices) X(utilisation) X(sample_s) X(garbage)

struct gpu;
struct mig { struct gpu *parent; char uuid[96]; unsigned gi, ci, gi_slices, ci_slices; };
struct process { unsigned pid; double percent, from_s, to_s; };
struct gpu {
    char name[96], uuid[96];
#define DECLARE(knob) double knob;
    KNOBS(DECLARE)
    int mig_count, process_count;
    struct mig migs[MAX_MIGS];
    struct process processes[MAX_PROCESSES];
};
struct node {
    int init, gpu_count, missing_count;
    double latency_s, opened_s;
    char driver[80], missing[MAX_MISSING][64];
    struct gpu gpus[MAX_GPUS];
};

static struct node *node; /* of the current initialisation; older ones are kept, so that a stale handle is harmless */
static int references;
static pid_t owner;
static int initialisations;

int twin_initialisations(void) { return initialisations; }

/* ---- time and energy -------------------------------------------------------------------------------------------- */

static double clock_s(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static double now_s(void) { return clock_s(CLOCK_MONOTONIC); }

static double since_phase_j(const struct gpu *g, double t_s) {
    double rest_s = fmod(t_s, g->period_s);
    if (rest_s < 0) rest_s += g->period_s;
    double periods = round((t_s - rest_s) / g->period_s), high_s = g->duty * g->period_s;
    double whole_j = g->high_w * high_s + g->low_w * (g->period_s - high_s);
    return periods * whole_j + g->high_w * fmin(rest_s, high_s) + g->low_w * fmax(0, rest_s - high_s);
}

static double energy_j(const struct gpu *g, double from_s, double to_s) {
    return since_phase_j(g, to_s - g->phase_s) - since_phase_j(g, from_s - g->phase_s);
}

/* The last instant at which the hardware renewed its values. */
static double renewed_s(const struct gpu *g, double t_s) { return floor(t_s / g->update_s) * g->update_s; }

static unsigned long long counter_mj(const struct gpu *g, double t_s) {
    double to_s = renewed_s(g, fmin(t_s, g->frozen_s));
    if (t_s >= g->reset_s) return (unsigned long long)round(1e3 * energy_j(g, g->reset_s, fmax(to_s, g->reset_s)));
    return (unsigned long long)round(g->begin_mj + 1e3 * energy_j(g, 0, to_s));
}

static unsigned mean_mw(const struct gpu *g, double window_s) {
    double to_s = renewed_s(g, now_s());
    return (unsigned)round(1e3 * energy_j(g, to_s - window_s, to_s) / window_s);
}

/* ---- configuration ---------------------------------------------------------------------------------------------- */

static void set_knob(struct gpu *g, const char *key, double value) {
#define SET(knob) if (!strcmp(key, #knob)) g->knob = value;
    KNOBS(SET)
}

static void read_gpu_line(struct gpu *g, const char *key, const char *rest) {
    if (!strcmp(key, "name")) {
        snprintf(g->name, sizeof g->name, "%s", rest);
    } else if (!strcmp(key, "uuid")) {
        snprintf(g->uuid, sizeof g->uuid, "%s", rest);
    } else if (!strcmp(key, "mig_device") && g->mig_count < MAX_MIGS) {
        struct mig *m = &g->migs[g->mig_count++];
        m->parent = g;
        sscanf(rest, "%95s %u %u %u %u", m->uuid, &m->gi, &m->ci, &m->gi_slices, &m->ci_slices);
    } else if (!strcmp(key, "process") && g->process_count < MAX_PROCESSES) {
        struct process *p = &g->processes[g->process_count++];
        sscanf(rest, "%u %lf %lf %lf", &p->pid, &p->percent, &p->from_s, &p->to_s);
    } else {
        set_knob(g, key, strtod(rest, NULL));
    }
}

static void read_node_line(struct node *n, const char *key, const char *rest) {
    if (!strcmp(key, "init")) n->init = atoi(rest);
    if (!strcmp(key, "latency_s")) n->latency_s = strtod(rest, NULL);
    if (!strcmp(key, "driver")) snprintf(n->driver, sizeof n->driver, "%s", rest);
    if (!strcmp(key, "missing") && n->missing_count < MAX_MISSING)
        snprintf(n->missing[n->missing_count++], sizeof n->missing[0], "%s", rest);
}

static struct node *configured(void) {
    const char *path = getenv("JOULEBOOK_TWIN_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return NULL;
    struct node *n = calloc(1, sizeof *n);
    struct gpu *g = NULL;
    char line[512], key[64];
    while (fgets(line, sizeof line, file)) {
        int used = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%63s %n", key, &used) != 1) continue;
        if (!strcmp(key, "gpu") && n->gpu_count < MAX_GPUS) g = &n->gpus[n->gpu_count++];
        else if (g) read_gpu_line(g, key, line + used);
        else read_node_line(n, key, line + used);
    }
    fclose(file);
    n->opened_s = now_s();
    return n;
}

/* ---- what every call asks first --------------------------------------------------------------------------------- */

static int ready(const char *function) {
    if (!node || !references || owner != getpid()) return UNINITIALIZED;
    for (int i = 0; i < node->missing_count; i++)
        if (!strcmp(node->missing[i], function)) return FUNCTION_NOT_FOUND;
    return SUCCESS;
}

static struct gpu *gpu_of(void *handle) {
    for (int i = 0; i < node->gpu_count; i++)
        if (handle == &node->gpus[i]) return &node->gpus[i];
    return NULL;
}

static struct mig *mig_of(void *handle) {
    for (int i = 0; i < node->gpu_count; i++)
        for (int j = 0; j < node->gpus[i].mig_count; j++)
            if (handle == &node->gpus[i].migs[j]) return &node->gpus[i].migs[j];
    return NULL;
}

/* A transient error; a GPU that is lost stays so for handles from before it came back. */
static int error_of(const struct gpu *g) {
    double t_s = now_s();
    if (t_s < g->error_from_s) return SUCCESS;
    int is_over = t_s >= g->error_to_s && !(g->lost && node->opened_s < g->error_to_s);
    return is_over ? SUCCESS : (int)g->error;
}

static void wait_latency(void) {
    struct timespec wait = {(time_t)node->latency_s, (long)(fmod(node->latency_s, 1) * 1e9)};
    if (node->latency_s > 0) nanosleep(&wait, NULL);
}

#define READY() do { int result = ready(__func__); if (result) return result; } while (0)
/* The GPU behind a handle, for a call that asks the hardware. */
#define ASK(g, handle) \
    READY(); \
    struct gpu *g = gpu_of(handle); \
    if (!g) return mig_of(handle) ? NOT_SUPPORTED : INVALID_ARGUMENT; \
    wait_latency(); \
    if (error_of(g)) return error_of(g)

/* ---- the interface: node ---------------------------------------------------------------------------------------- */

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    initialisations++;
    if (references && owner == getpid()) { references++; return SUCCESS; }
    struct node *read = configured();
    if (!read) return DRIVER_NOT_LOADED;
    if (read->init) return read->init;
    node = read;
    owner = getpid();
    references = 1;
    return SUCCESS;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    if (!references) return UNINITIALIZED;
    references--;
    return SUCCESS;
}

const char *nvmlErrorString(int result) {
    static char text[32];
    snprintf(text, sizeof text, "twin error %d", result);
    return text;
}

static int copied(char *to, unsigned size, const char *text) {
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *version, unsigned size) { READY(); return copied(version, size, node->driver); }

int nvmlDeviceGetCount_v2(unsigned *count) { READY(); *count = node->gpu_count; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    READY();
    if ((int)index >= node->gpu_count) return INVALID_ARGUMENT;
    *handle = &node->gpus[index];
    return error_of(&node->gpus[index]);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    READY();
    for (int i = 0; i < node->gpu_count; i++) {
        struct gpu *g = &node->gpus[i];
        if (!strcmp(uuid, g->uuid)) { *handle = g; return error_of(g); }
        for (int j = 0; j < g->mig_count; j++)
            if (!strcmp(uuid, g->migs[j].uuid)) { *handle = &g->migs[j]; return error_of(g); }
    }
    return NOT_FOUND;
}

/* ---- the interface: one GPU ------------------------------------------------------------------------------------- */

int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned size) {
    READY();
    struct mig *m = mig_of(handle);
    struct gpu *g = gpu_of(handle);
    if (!m && !g) return INVALID_ARGUMENT;
    return copied(uuid, size, m ? m->uuid : g->uuid);
}

int nvmlDeviceGetIndex(void *handle, unsigned *index) {
    ASK(g, handle);
    *index = g - node->gpus;
    return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *name, unsigned size) {
    READY();
    struct mig *m = mig_of(handle);
    struct gpu *g = m ? m->parent : gpu_of(handle);
    return g ? copied(name, size, g->name) : INVALID_ARGUMENT;
}

int nvmlDeviceGetArchitecture(void *handle, unsigned *architecture) {
    ASK(g, handle);
    *architecture = (unsigned)(int64_t)g->architecture;
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    ASK(g, handle);
    *major = g->major;
    *minor = g->minor;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *energy_mj) {
    ASK(g, handle);
    if (!g->counter) return NOT_SUPPORTED;
    *energy_mj = counter_mj(g, now_s());
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *power_mw) {
    ASK(g, handle);
    if (!g->usage_s) return NOT_SUPPORTED;
    *power_mw = mean_mw(g, g->usage_s);
    return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *limit_mw) {
    ASK(g, handle);
    if (!g->limit_w) return NOT_SUPPORTED;
    *limit_mw = 1e3 * g->limit_w;
    return SUCCESS;
}

int nvmlDeviceGetPowerManagementLimit(void *handle, unsigned *limit_mw) {
    return nvmlDeviceGetEnforcedPowerLimit(handle, limit_mw);
}

struct field_value {
    unsigned field, scope;
    int64_t timestamp_us, latency_us;
    unsigned type, result;
    union { double d; unsigned ui; unsigned long ul; unsigned long long ull; } value;
};

static int field(const struct gpu *g, struct field_value *value) {
    double window_s = value->field == FIELD_AVERAGE ? g->average_s : g->window_s;
    if (value->field == FIELD_ENERGY) {
        value->type = 3;
        value->value.ull = counter_mj(g, now_s());
        return g->counter ? SUCCESS : NOT_SUPPORTED;
    }
    if ((value->field != FIELD_AVERAGE && value->field != FIELD_INSTANT) || !window_s) return NOT_SUPPORTED;
    value->type = 1;
    value->value.ui = mean_mw(g, window_s) + (value->scope == SCOPE_MODULE ? (unsigned)(1e3 * g->module_w) : 0);
    if (value->scope == SCOPE_GPU) return g->gpu_scope ? SUCCESS : NOT_SUPPORTED;
    return value->scope == SCOPE_MODULE && g->module_w ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetFieldValues(void *handle, int count, struct field_value *values) {
    ASK(g, handle);
    for (int i = 0; i < count; i++) {
        values[i].timestamp_us = 1e6 * clock_s(CLOCK_REALTIME);
        values[i].result = field(g, &values[i]);
    }
    return SUCCESS;
}

/* ---- the interface: processes ----------------------------------------------------------------------------------- */

struct utilisation { unsigned pid; unsigned long long timestamp_us; unsigned sm, memory, encoder, decoder; };

static int is_busy(const struct process *p, double t_s) { return t_s >= p->from_s && t_s < p->to_s; }

static int is_anyone_busy(const struct gpu *g, double t_s) {
    int found = 0;
    for (int i = 0; i < g->process_count; i++) found |= is_busy(&g->processes[i], t_s);
    return found;
}

/* The driver samples only while somebody is busy. A process has one entry: its mean over the samples since, and when
   it was last seen busy. */
static int entry_of(const struct gpu *g, const struct process *p, double from_s, double to_s, struct utilisation *entry) {
    int samples = 0, seen = 0;
    double last_s = 0;
    for (double n = floor(from_s / g->sample_s) + 1; n * g->sample_s <= to_s; n++) {
        samples += is_anyone_busy(g, n * g->sample_s);
        if (!is_busy(p, n * g->sample_s)) continue;
        seen++;
        last_s = n * g->sample_s;
    }
    entry->pid = p->pid ? p->pid : (unsigned)getpid();
    entry->sm = samples ? (unsigned)round(p->percent * seen / samples) : 0;
    entry->timestamp_us = round(1e6 * (last_s + clock_s(CLOCK_REALTIME) - now_s()));
    return seen > 0;
}

int nvmlDeviceGetProcessUtilization(void *handle, struct utilisation *entries, unsigned *count,
                                    unsigned long long since_us) {
    ASK(g, handle);
    struct utilisation found[MAX_PROCESSES + 1];
    unsigned n = 0;
    double to_s = now_s(), from_s = fmax(since_us * 1e-6 - (clock_s(CLOCK_REALTIME) - to_s), to_s - 20);
    if (!g->utilisation || g->mig) return NOT_SUPPORTED;
    memset(found, 0, sizeof found);
    for (int i = 0; i < g->process_count; i++) n += entry_of(g, &g->processes[i], from_s, to_s, &found[n]);
    if (!n) return NOT_FOUND;
    if (g->garbage) found[n++] = (struct utilisation){1818846764, 0, 4027555840u, 0, 0, 0};
    if (!entries || *count < n) { *count = 100; return INSUFFICIENT_SIZE; }
    memcpy(entries, found, n * sizeof *entries);
    *count = n;
    return SUCCESS;
}

/* ---- the interface: MIG ----------------------------------------------------------------------------------------- */

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    ASK(g, handle);
    if (!g->max_slices) return NOT_SUPPORTED;
    *current = *pending = g->mig;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    ASK(g, handle);
    *count = g->max_slices;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **mig) {
    ASK(g, handle);
    if ((int)index >= g->mig_count) return NOT_FOUND;
    *mig = &g->migs[index];
    return SUCCESS;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *handle, void **parent) {
    READY();
    struct mig *m = mig_of(handle);
    if (!m) return INVALID_ARGUMENT;
    *parent = m->parent;
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(void *handle, unsigned *id) {
    READY();
    struct mig *m = mig_of(handle);
    if (!m) return INVALID_ARGUMENT;
    *id = m->gi;
    return SUCCESS;
}

int nvmlDeviceGetComputeInstanceId(void *handle, unsigned *id) {
    READY();
    struct mig *m = mig_of(handle);
    if (!m) return INVALID_ARGUMENT;
    *id = m->ci;
    return SUCCESS;
}

struct attributes {
    unsigned multiprocessors, copy, decoders, encoders, jpeg, ofa, gi_slices, ci_slices;
    unsigned long long memory_mb;
};

int nvmlDeviceGetAttributes_v2(void *handle, struct attributes *attributes) {
    READY();
    struct mig *m = mig_of(handle);
    if (!m) return NOT_SUPPORTED; /* MIG devices only */
    memset(attributes, 0, sizeof *attributes);
    attributes->gi_slices = m->gi_slices;
    attributes->ci_slices = m->ci_slices;
    return SUCCESS;
}

struct profile { unsigned version, id, is_p2p, slices, instances; };

/* The profile of the whole GPU only: number 4 has 7 slices, number 3 has 4. */
int nvmlDeviceGetGpuInstanceProfileInfoV(void *handle, unsigned profile, struct profile *info) {
    ASK(g, handle);
    unsigned slices = profile == 4 ? 7 : profile == 3 ? 4 : 0;
    if (!slices || slices != (unsigned)g->max_slices) return NOT_SUPPORTED;
    info->slices = slices;
    info->instances = 1;
    return SUCCESS;
}

/* ---- what other tools ask as well ------------------------------------------------------------------------------- */

int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long *total_free_used) {
    ASK(g, handle);
    total_free_used[0] = 80ull << 30;
    total_free_used[1] = 79ull << 30;
    total_free_used[2] = 1ull << 30;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned *gpu_memory) {
    ASK(g, handle);
    gpu_memory[0] = gpu_memory[1] = 50;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *celsius) {
    ASK(g, handle);
    *celsius = 50 + 0 * sensor;
    return SUCCESS;
}

int nvmlDeviceGetComputeMode(void *handle, unsigned *mode) { ASK(g, handle); *mode = 0; return SUCCESS; }

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, void *processes) {
    ASK(g, handle);
    (void)processes;
    *count = 0;
    return SUCCESS;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, void *processes) {
    return nvmlDeviceGetComputeRunningProcesses_v3(handle, count, processes);
}

int nvmlDeviceGetPowerManagementLimitConstraints(void *handle, unsigned *least_mw, unsigned *most_mw) {
    *least_mw = 100000;
    return nvmlDeviceGetEnforcedPowerLimit(handle, most_mw);
}
